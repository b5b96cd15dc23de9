// The playground: one image, one request at a time, and everything that can be done with its run.
import { Camera } from "./camera.js";
import { Column } from "./column.js";
import { Form } from "./form.js";
import { Inspect } from "./inspect.js";
import { Intake } from "./intake.js";
import { Layers } from "./layers.js";
import { Objects } from "./objects.js";
import { Options } from "./options.js";
import { References } from "./references.js";
import { Restore } from "./restore.js";
import { RunSeed } from "./seed.js";
import { RunDeeds } from "./deeds.js";
import { Wipe } from "./wipe.js";

const WRITE_MS = 250;

export class Playground {
  constructor(root, shell) {
    Object.assign(this, { root, shell });
    this.words = shell.words;
    this.references = new References(root, { words: this.words, changed: () => this.form.fail("refs", "") });
    this.column = new Column(root, {
      takes: () => this.references.set !== null && this.column.evidence.picked === null,
      adds: (shape, at) => this.references.add(shape, at),
    });
    this.form = new Form(root, {
      words: this.words.skills,
      run: () => this.run(),
      chosen: (skill) => this.chosen(skill),
      borrow: (skill, model) => this.borrow(skill, model),
    });
    this.objects = new Objects(root, { words: this.words.objects, form: this.form });
    this.seed = new RunSeed(root, { words: this.words, form: this.form });
    this.options = new Options(root, {
      words: this.words,
      fill: (preset) => this.form.take(preset),
      put: (ask) => this.restore.words(ask),
      draft: () => this.draft(),
    });
    this.layers = new Layers(root);
    this.wipe = new Wipe(root);
    this.intake = new Intake(root, {
      viewer: this.column.viewer,
      words: this.words,
      send: (message, blob) => shell.send(message, blob),
      limit: Number(root.dataset.limit),
      error: (text) => this.form.fail("image", text),
      opened: (example) => this.opened(example),
      asks: (skill, question) => this.suggest(skill, question),
    });
    this.camera = new Camera(root, { words: this.words, open: (blob, name) => this.intake.open(blob, name), dialogs: shell.dialogs });
    this.inspect = new Inspect(root, { shell, column: this.column, references: this.references, told: (record) => this.deeds.take(record) });
    this.deeds = new RunDeeds(this);
    this.restore = new Restore(this);
    this.form.select("query");
    this.form.recallChoices();
    this.keys = this.shortcuts();
    this.bind();
  }

  bind() {
    const { viewer } = this.column;
    const actions = {
      stop: () => this.stop(),
      marks: () => viewer.toggleMarks(),
      "zoom-in": () => viewer.zoom.by(1.4),
      "zoom-out": () => viewer.zoom.by(1 / 1.4),
      fit: () => viewer.zoom.fit(),
      hand: () => viewer.toggleHand(),
      full: () => viewer.toggleFull(),
      wipe: () => this.wipe.toggle(),
      spread: () => this.layers.toggle("spread"),
      probs: () => this.layers.toggle("probs"),
      "plain-look": () => this.layers.reset(),
      "add-point": () => this.place("point"),
      "add-box": () => this.place("box"),
      "clear-refs": () => this.references.clear(),
      "remove-image": () => this.without(false),
      "with-image": () => this.without(false),
      "no-image": () => this.without(true),
    };
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      if (button) actions[button.dataset.act]?.(button);
    });
    this.root.addEventListener("column-state", ({ detail }) => this.settled(detail));
    this.form.form.addEventListener("input", () => this.note());
    this.form.form.addEventListener("change", () => this.note());
  }

  shortcuts() {
    const { viewer, evidence } = this.column;
    return {
      submit: () => this.run(),
      escape: () => evidence.release() || this.stop(),
      number: (number) => evidence.pickNumber(number),
      "/": () => (this.form.prompt ?? this.root.querySelector("[name='length']:checked")).focus(),
      h: () => viewer.toggleMarks(),
      p: () => viewer.toggleHand(),
      w: () => this.wipe.toggle(),
      f: () => viewer.toggleFull(),
      c: () => this.deeds.compare(),
      r: () => this.inspect.replay.toggle(),
      ",": () => this.inspect.replay.step(-1),
      ".": () => this.inspect.replay.step(1),
      s: () => this.deeds.share(),
      e: () => this.deeds.edit(),
      "+": () => viewer.zoom.by(1.4),
      "=": () => viewer.zoom.by(1.4),
      "-": () => viewer.zoom.by(1 / 1.4),
      0: () => viewer.zoom.fit(),
    };
  }

  get busy() {
    return this.column.busy;
  }

  // ---------------------------------------------------------------------------------------- the address

  open(params) {
    return this.restore.take(params);
  }

  // Notes the state of the form in the address, once typing rests. A run that is shown stays named.
  note() {
    clearTimeout(this.noting);
    this.noting = setTimeout(() => this.shell.views.name === "playground" && this.write(), WRITE_MS);
  }

  write(push = false) {
    clearTimeout(this.noting);
    const params = this.restore.params();
    if (push) this.shell.views.push(params);
    else this.shell.go("playground", params, { replace: true });
  }

  // ------------------------------------------------------------------------------------------- running

  run() {
    if (this.busy) return;
    this.form.clearErrors();
    if (!this.intake.image && !this.bare) {
      this.form.fail("image", this.words.missing_image);
      return;
    }
    this.objects.close();
    const ask = this.ask();
    if (ask) this.shell.models.allowed(() => this.submit(ask));
  }

  submit(ask) {
    if (this.busy) return;
    this.shell.send({ run: { ...ask, width: Math.round(this.column.viewer.zoom.width), column: "main" } });
  }

  // What the form says, put together; nothing if a part of it does not fit.
  ask() {
    const form = this.form.request();
    const ask = {
      ...form,
      settings: this.seed.request(form.settings),
      ...this.objects.request(),
      ...this.shell.models.request(),
      ...(this.bare ? { image: false } : this.references.request()),
    };
    try {
      return this.form.skill === "query" ? { ...ask, ...this.options.request() } : ask;
    } catch (error) {
      if (!error.field) throw error;
      this.form.fail(error.field, error.message);
      return null;
    }
  }

  // What a preset of one's own keeps: the words and the settings, not the places, which belong to the image.
  draft() {
    const ask = { ...this.form.request(), ...this.objects.request() };
    return this.form.skill === "query" ? { ...ask, ...this.options.draft(), preset: undefined } : ask;
  }

  stop() {
    if (this.busy) this.shell.send({ stop: "main" });
  }

  // Stops what runs, and waits for its last words: they do not belong into what is shown next.
  async ended() {
    this.stop();
    while (this.busy) await new Promise((next) => this.root.addEventListener("column-state", next, { once: true }));
  }

  chosen(skill) {
    this.references.use(skill);
    this.seed?.drop();
    this.objects?.use(skill);
    this.options?.use(skill);
    this.column.viewer.refresh();
    this.note();
  }

  // Switches to a model that has the skill.
  borrow(skill, { id }) {
    this.shell.models.choose(id, () => this.form.offers(skill) && this.form.select(skill));
  }

  // A reference by button instead of by pointing.
  place(shape) {
    if (this.intake.image) this.references.addAt(shape, this.column.viewer.zoom.middle);
    else this.form.fail("image", this.words.missing_image);
  }

  // Whether the question is asked without an image.
  get bare() {
    return this.intake.imageless && this.form.skill === "query";
  }

  // Takes the image away, to ask without one or to choose another. Going back brings it back.
  without(imageless) {
    this.intake.close(imageless);
    if (imageless && this.form.offers("query")) this.form.select("query");
    this.write(true);
    const next = imageless ? this.form.prompt : this.root.querySelector("[data-act='open']");
    next?.focus({ preventScroll: true });
  }

  // A new image makes the old result meaningless.
  opened(example) {
    this.stop();
    this.form.clearErrors();
    this.column.clear();
    this.inspect.clear();
    this.deeds.show(null);
    this.references.clear();
    this.seed.drop();
    this.options.reset();
    this.note();
    example?.suggest();
  }

  // What a scene suggests goes into the form when its image is there, unless the words have been changed meanwhile.
  suggest(skill, question) {
    const words = () => JSON.stringify({ ...this.draft(), settings: null });
    const before = words();
    return () => {
      if (words() !== before) return;
      this.objects.clear();
      this.form.fill(skill, question);
      if (skill === "gaze" && this.form.skill === "gaze") {
        this.references.add("point", question.split(",").map(Number));
      }
    };
  }

  // --------------------------------------------------------------------------------------- the server

  receive(message) {
    if (message.engine) this.engine(message.engine);
    if (message.model) this.model(message.model);
    if (message.open) this.intake.resend();
    if (message.closed && this.busy) this.column.settle("lost");
    if (message.image) this.intake.stored(message.image) && this.note();
    if (message.history) this.inspect.changed(message.history.changed);
    if (message.history?.cleared) this.options.draw();
    if ((message.column ?? "main") !== "main") return;
    if (message.begin) this.begin(message.begin);
    if (message.invalid) this.invalid(message.invalid);
    if (message.fragments) this.column.push(message.fragments);
    if (message.run && (message.begin || !message.id || !this.column.run || message.id === this.column.run.id)) {
      this.column.settle(message.run);
    }
  }

  engine({ detail, presets }) {
    this.column.stream.notice(detail);
    if (presets) this.options.offer(presets);
  }

  model(model) {
    this.seed.model(model);
    this.form.offer(model.skills, (skill) => this.shell.models.able(skill));
    this.note();
  }

  begin(begin) {
    this.inspect.clear();
    this.column.begin(begin);
    this.deeds.show(begin);
    this.objects.tint(begin.parts ?? []);
    this.write(true);
  }

  invalid({ field, text, id }) {
    if (field === "image" && id && this.intake.image?.id === id) this.intake.reject();
    this.form.fail(field, text);
  }

  settled({ state, ended }) {
    this.root.closest(".ds").dataset.run = state;
    this.form.busy(this.busy);
    const run = this.column.run;
    if (ended && run?.id) this.inspect.show(run.id);
  }
}
