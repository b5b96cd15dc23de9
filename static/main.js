// Wires the page together. Every word and every piece of a result comes from the server.
import { Appearance } from "./theme.js";
import { Evidence } from "./evidence.js";
import { Form } from "./form.js";
import { Intake } from "./intake.js";
import { Layers } from "./layers.js";
import { Models } from "./models.js";
import { Options } from "./options.js";
import { References } from "./references.js";
import { Socket } from "./socket.js";
import { Stream } from "./stream.js";
import { Viewer } from "./viewer.js";
import { bindKeys } from "./keys.js";

const BUSY = ["queued", "running"];

export function mount(element) {
  const root = element.querySelector("#dreamscope");
  if (!root || root.dataset.mounted) return;
  root.dataset.mounted = "true";
  new Page(root);
}

class Page {
  constructor(root) {
    this.root = root;
    this.words = JSON.parse(root.dataset.words);
    this.evidence = new Evidence(root);
    this.references = new References(root, { words: this.words, changed: () => this.form.fail("refs", "") });
    this.viewer = new Viewer(root, {
      takes: () => this.references.set !== null && this.evidence.picked === null,
      adds: (shape, at) => this.references.add(shape, at),
    });
    this.stream = new Stream(root, () => this.evidence.refresh());
    this.form = new Form(root, { run: () => this.run(), chosen: (skill) => this.chosen(skill) });
    this.options = new Options(root, { words: this.words, fill: (preset) => this.form.take(preset) });
    this.layers = new Layers(root);
    this.models = new Models(root, {
      chosen: (model) => this.form.offer(model.skills),
      load: (id) => this.socket.send({ load: id }),
    });
    this.socket = new Socket("/ws", {
      open: () => this.intake.resend(),
      message: (messages) => messages.forEach((message) => this.receive(message)),
      close: () => this.offline(),
    });
    this.intake = new Intake(root, {
      viewer: this.viewer,
      words: this.words,
      send: (id, blob) => this.socket.send({ image: { id } }, blob),
      limit: Number(root.dataset.limit),
      error: (text) => this.form.fail("image", text),
      opened: (example) => this.opened(example),
    });
    new Appearance(root);
    this.form.select("query");
    this.bindButtons();
    bindKeys(this);
    this.socket.connect();
  }

  get busy() {
    return BUSY.includes(this.root.dataset.run);
  }

  bindButtons() {
    const actions = {
      stop: () => this.stop(),
      marks: () => this.viewer.toggleMarks(),
      "zoom-in": () => this.viewer.zoom.by(1.4),
      "zoom-out": () => this.viewer.zoom.by(1 / 1.4),
      fit: () => this.viewer.zoom.fit(),
      hand: () => this.viewer.toggleHand(),
      spread: () => this.layers.toggle("spread"),
      probs: () => this.layers.toggle("probs"),
      "add-point": () => this.place("point"),
      "add-box": () => this.place("box"),
      "clear-refs": () => this.references.clear(),
      copy: (button) => this.copy(button),
      sheet: () => this.sheet(),
      "close-sheet": () => this.sheet(),
    };
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      if (button) actions[button.dataset.act]?.(button);
    });
  }

  sheet() {
    const dialog = this.root.querySelector(".sheet");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  }

  run() {
    if (this.busy) return;
    this.form.clearErrors();
    if (!this.intake.image) {
      this.form.fail("image", this.words.missing_image);
      return;
    }
    const run = this.request();
    if (run) this.socket.send({ run });
  }

  // What the form says, put together; nothing if a part of it does not fit.
  request() {
    const width = Math.round(this.viewer.zoom.width);
    const run = { width, ...this.form.request(), ...this.models.request(), ...this.references.request() };
    try {
      return this.form.skill === "query" ? { ...run, ...this.options.request() } : run;
    } catch (error) {
      if (!error.field) throw error;
      this.form.fail(error.field, error.message);
      return null;
    }
  }

  // Another skill is chosen.
  chosen(skill) {
    this.references.use(skill);
    this.viewer.refresh();
  }

  // A reference by button instead of by pointing.
  place(shape) {
    if (this.intake.image) this.references.addAt(shape, this.viewer.zoom.middle);
    else this.form.fail("image", this.words.missing_image);
  }

  stop() {
    if (this.busy) this.socket.send({ stop: true });
  }

  // A new image makes the old result meaningless.
  opened(example) {
    this.stop();
    this.form.clearErrors();
    this.stream.clear();
    this.evidence.release();
    this.references.clear();
    this.options.reset();
    this.root.dataset.run = "idle";
    if (!example) return;
    this.form.fill(example.skill, example.question);
    if (example.skill === "gaze" && this.form.skill === "gaze") {
      this.references.add("point", example.question.split(",").map(Number));
    }
  }

  receive(message) {
    if (message.engine) this.engine(message.engine);
    if (message.progress) this.models.step(message.progress);
    if (message.begin) this.begin(message.begin);
    if (message.invalid) this.invalid(message.invalid);
    if (message.fragments) this.stream.push(message.fragments);
    if (message.run) this.settle(message.run);
  }

  engine({ state, text, detail, models, presets }) {
    this.root.querySelector(".engine").dataset.engine = state;
    this.root.querySelector("[data-slot='engine']").textContent = text;
    this.stream.notice(detail);
    if (models) this.models.show(models);
    if (presets) this.options.offer(presets);
  }

  begin(run) {
    this.evidence.release();
    this.stream.begin(run);
  }

  settle(state) {
    const wasBusy = this.busy;
    this.root.dataset.run = state;
    this.form.busy(this.busy);
    if (wasBusy && !this.busy) this.stream.settle();
  }

  invalid({ field, text, id }) {
    if (field === "image" && id && this.intake.image?.id === id) this.intake.reject();
    this.form.fail(field, text);
  }

  offline() {
    this.engine({ state: "gone", text: this.words.offline_short, detail: this.words.offline });
    if (this.busy) this.settle("lost");
  }

  async copy(button) {
    await navigator.clipboard.writeText(this.stream.answerText());
    button.classList.add("did");
    setTimeout(() => button.classList.remove("did"), 1200);
  }
}
