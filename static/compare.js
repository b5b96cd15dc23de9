// Two to four columns over one image: each has its model, all stream at once, and what they share is marked.
import { Batch } from "./batch.js";
import { bindActions, shortcuts } from "./compare_actions.js";
import { CompareAddress } from "./compare_address.js";
import { CompareForm } from "./compare_form.js";
import { CompareImage } from "./compare_image.js";
import { CompareRuns } from "./compare_runs.js";
import { differences } from "./compare_load.js";
import { Findings } from "./compare_findings.js";
import { say } from "./say.js";
import { Side } from "./compare_side.js";

const FEWEST = 2;
const MOST = 4;
const WRITE_MS = 300;

export class Compare {
  constructor(root, shell) {
    Object.assign(this, { root, shell });
    this.words = JSON.parse(root.dataset.words);
    this.sides = [];
    this.models = [];
    this.edits = false; // whether the form says something else than what is shown
    this.comparison = null; // the id of what is shown, if it is kept as one
    this.picture = null; // url and text of the image that is shown
    this.address = new CompareAddress(this);
    this.runs = new CompareRuns(this);
    this.place = root.querySelector(".cmp-columns");
    this.template = root.querySelector(".cmp-template");
    this.form = new CompareForm(root.querySelector(".cmp-ask"), {
      words: this.words,
      run: () => this.runs.run(),
      changed: () => this.edited(),
    });
    this.image = new CompareImage(root, {
      words: this.words,
      shell,
      active: () => !root.hidden && this.mode === "one" && !shell.dialogs.current,
      shown: (url, alt) => this.show(url, alt),
      fail: (text) => this.fail(text),
      changed: () => this.address.write(),
      asks: (skill, question) => this.suggestPrompt(skill, question),
    });
    this.findings = new Findings(this);
    this.batch = new Batch(this);
    this.keys = shortcuts(this);
    while (this.sides.length < FEWEST) this.add();
    bindActions(this);
  }

  get mode() {
    return this.root.dataset.mode;
  }

  get busy() {
    return this.sides.some((side) => side.busy);
  }

  // Whether nobody has begun anything here.
  get blank() {
    return this.mode === "one" && !this.picture && !this.form.prompt.value.trim() && !this.sides.some(({ runId }) => runId);
  }

  // ---------------------------------------------------------------------------------------- the address

  open(params) {
    return this.address.open(params);
  }

  // What is asked in columns, put into the form and the columns.
  takeAsks(asks) {
    this.fill(Math.max(this.sides.length, asks.length));
    this.form.take(asks[0]);
    asks.forEach((asked, index) => {
      if (asked.model) this.wish(this.sides[index], asked.model, asked.variant);
      this.sides[index].setOwn(differences(asks[0], asked));
    });
    this.draw();
  }

  // Something is to be asked otherwise than what is shown.
  edited() {
    this.form.fail("");
    for (const side of this.sides) side.fit(this.form.skill, this.form.settingNames);
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      if (this.mode === "one" && !this.busy) {
        this.comparison = null;
        this.edits = true;
      }
      this.draw();
      this.address.write();
    }, WRITE_MS);
  }

  // ---------------------------------------------------------------------------------------- the columns

  fill(count) {
    while (this.sides.length < count) this.add();
    while (this.sides.length > count) this.sides.pop().remove();
    this.stand();
  }

  add() {
    const root = this.template.content.firstElementChild.cloneNode(true);
    this.place.append(root);
    const side = new Side(root, { words: this.words, changed: () => this.edited(), eye: (at) => this.eye(at), takesEye: () => this.form.skill === "gaze" });
    this.sides.push(side);
    side.offer(this.models);
    this.suggest(side);
    this.findings.follow(side);
    this.stand();
    if (this.picture?.url) side.column.show(this.picture.url, this.picture.alt);
    return side;
  }

  wish(side, model, variant) {
    side.wanted = { model, variant: variant ?? "" };
    side.draw();
  }

  // A column that nobody has chosen a model for takes the first of this machine that the others do not have.
  suggest(side) {
    if (side.wanted.model || !this.models.length) return;
    const taken = this.sides.filter((other) => other !== side).map((other) => other.wanted.model);
    const here = this.models.filter(({ state, endpoint }) => ["ready", "loading"].includes(state) && !endpoint);
    const able = here.filter(({ skills }) => skills.includes(this.form.skill));
    const usable = able.length ? able : here;
    const first = this.shell.models.id;
    const best = taken.some(Boolean) ? usable.find(({ id }) => !taken.includes(id)) : usable.find(({ id }) => id === first);
    const model = best ?? usable[0] ?? this.models[0];
    side.wanted = { model: model.id, variant: "" };
    side.draw();
  }

  remove(side) {
    if (this.busy || this.sides.length <= FEWEST) return;
    this.sides.splice(this.sides.indexOf(side), 1);
    side.remove();
    this.regroup();
  }

  swap(side) {
    if (this.busy) return;
    const { index } = side;
    [this.sides[index], this.sides[index + 1]] = [this.sides[index + 1], this.sides[index]];
    this.place.insertBefore(this.sides[index].root, this.sides[index + 1].root);
    this.regroup();
    this.sides[index + 1].root.querySelector("[data-do='own']").focus({ preventScroll: true });
  }

  // The columns stand otherwise than in what is kept.
  regroup() {
    this.comparison = null;
    this.stand();
    this.findings.look();
    this.address.write();
  }

  stand() {
    this.sides.forEach((side, index) => side.stand(index, this.sides.length));
    this.place.dataset.count = String(this.sides.length);
    this.root.style.setProperty("--lines", String(this.sides.length - 1));
    this.draw();
  }

  draw() {
    const { busy, root } = this;
    const { due } = this.runs;
    this.form.busy(busy || this.batch?.running === true);
    this.form.call(due.length < this.sides.length ? say(this.words.run_some, { letters: due.map(({ letter }) => letter).join(", ") }) : this.words.run);
    root.querySelector("[data-do='add']").disabled = busy || this.sides.length >= MOST;
    for (const side of this.sides) {
      side.fit(this.form.skill, this.form.settingNames);
      side.bring(!busy && !due.includes(side));
      side.refer(this.form.places);
      for (const button of side.root.querySelectorAll("[data-do='swap'], [data-do='remove']")) button.disabled = busy;
    }
    for (const button of root.querySelectorAll(".cmp-kept")) button.hidden = !this.comparison || busy;
    root.querySelector("[data-do='keep']").hidden = !this.runs.keepable;
    if (this.comparison) {
      const at = `/api/comparisons/${encodeURIComponent(this.comparison)}`;
      for (const link of root.querySelectorAll("[data-export]")) link.href = `${at}/${link.dataset.export}`;
    }
    root.dataset.run = busy ? "running" : this.sides.some((side) => side.runId) ? "done" : "idle";
  }

  // The image is put into every column. A new one makes the old results meaningless.
  async show(url, alt) {
    await Promise.all(this.sides.map(({ column }) => (url ? column.show(url, alt) : column.viewer.clear())));
    this.picture = { url, alt };
    this.runs.stop();
    this.runs.release();
    this.comparison = null;
    delete this.form.extra.eye;
    delete this.form.extra.face;
    delete this.form.extra.refs;
    for (const side of this.sides) side.clear();
    this.findings.fresh();
    this.root.dataset.phase = url ? "image" : "words";
    this.draw();
  }

  // A prompt that somebody wrote stays.
  suggestPrompt(skill, question) {
    if (this.form.prompt.value.trim()) return null;
    const eye = skill === "gaze" ? question.split(",").map(Number) : undefined;
    const { skill: before } = this.form;
    return () => {
      if (this.form.skill !== before || this.form.prompt.value.trim()) return;
      this.form.take({ ...this.form.draft(), skill, question, object: question, objects: undefined, length: question, eye });
      this.edited();
      this.form.prompt.focus({ preventScroll: true });
    };
  }

  eye(at) {
    this.form.extra = { eye: at };
    this.edited();
    this.draw();
  }

  setMode(mode) {
    this.root.dataset.mode = mode;
    this.root.querySelector(`[name="cmp-mode"][value="${mode}"]`).checked = true;
    this.batch.root.hidden = mode !== "many";
    this.draw();
  }

  // --------------------------------------------------------------------------------------- the server

  receive(message) {
    if (message.engine?.models) this.offer(message.engine.models);
    if (message.engine?.presets) this.form.presets.offer(message.engine.presets);
    if (message.history) this.batch.changed();
    this.runs.receive(message);
  }

  offer(models) {
    this.models = models;
    const usable = models.filter(({ state }) => state !== "unavailable");
    this.form.offer([...new Set(usable.flatMap(({ skills }) => skills))]);
    for (const side of this.sides) {
      side.offer(models);
      this.suggest(side);
    }
  }

  fail(text) {
    this.root.querySelector(".cmp-error").textContent = text;
  }
}
