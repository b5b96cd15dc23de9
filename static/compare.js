// Two to four columns over one image: each has its model, all stream at once, and what they share is marked.
import { askOf, paramsOf } from "./address.js";
import { ask } from "./api.js";
import { Batch } from "./batch.js";
import { bindActions, shortcuts } from "./compare_actions.js";
import { CompareForm } from "./compare_form.js";
import { CompareImage, NO_IMAGE } from "./compare_image.js";
import { Findings } from "./compare_findings.js";
import { Side } from "./compare_side.js";
import { differences, loadRuns } from "./compare_load.js";

const FEWEST = 2;
const MOST = 4;
const BUSY = ["queued", "running"];
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
    this.at = null; // the address that is shown
    this.place = root.querySelector(".cmp-columns");
    this.template = root.querySelector(".cmp-template");
    this.form = new CompareForm(root.querySelector(".cmp-ask"), {
      words: this.words,
      run: () => this.run(),
      changed: () => this.edited(),
    });
    this.image = new CompareImage(root, {
      words: this.words,
      shell,
      active: () => !root.hidden && this.mode === "one" && !shell.dialogs.current,
      shown: (url, alt) => this.show(url, alt),
      fail: (text) => this.fail(text),
      changed: () => this.write(),
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
    return this.sides.some((side) => BUSY.includes(side.root.dataset.run));
  }

  // ---------------------------------------------------------------------------------------- the address

  // Does not wait for what has to be read first: the connection is not opened before the first view is.
  open(params) {
    if (params.toString() === this.at) return;
    this.at = params.toString();
    const runs = params.getAll("run");
    const comparison = params.get("comparison");
    if (params.has("batch")) {
      this.setMode("many");
      this.batch.show(params.get("batch"));
    } else if (comparison || runs.length) this.load({ comparison, runs });
    else this.setUp(params);
  }

  // A comparison of the history, or runs that are put side by side.
  async load({ comparison, runs }) {
    this.setMode("one");
    this.form.fail("");
    try {
      const ids = comparison ? (await ask(`/api/comparisons/${encodeURIComponent(comparison)}`)).runs : runs;
      const loaded = await loadRuns(ids.slice(0, MOST), Math.round(this.sides[0].column.viewer.zoom.width) || undefined);
      await this.restore(loaded, comparison);
    } catch (error) {
      if (!("status" in error)) throw error;
      this.fail(error.message || this.shell.words.offline_short);
    }
  }

  async restore(loaded, comparison) {
    this.fill(loaded.length);
    this.edits = false;
    await this.image.use(loaded.find(({ picture }) => picture)?.picture.hash ?? NO_IMAGE);
    this.form.take(loaded[0].ask);
    this.comparison = comparison;
    loaded.forEach(({ run, ask: asked, begin, fragments }, index) => {
      const side = this.sides[index];
      this.wish(side, run.model, run.variant);
      side.setOwn(differences(loaded[0].ask, asked));
      side.begin(begin);
      side.restore(fragments, run.state);
    });
    this.draw();
    await this.findings.look();
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

  // What is to be asked, without any run.
  async setUp(params) {
    this.setMode(params.get("mode") === "many" ? "many" : "one");
    if ([...params].some(([name]) => name !== "mode")) this.form.take(askOf(params));
    if (params.get("model")) this.wish(this.sides[0], params.get("model"), params.get("variant"));
    const wanted = [...Array(MOST).keys()].map((index) => params.get(`c${index}`)).filter((label) => label !== null);
    if (wanted.length) this.fill(Math.min(MOST, Math.max(FEWEST, wanted.length)));
    wanted.forEach((label, index) => {
      const [model, ...variant] = label.split("+");
      this.wish(this.sides[index], model, variant.join("+"));
      this.sides[index].setOwn(Object.fromEntries(
        [...params].filter(([name]) => name.startsWith(`c${index}.`)).map(([name, value]) => [name.slice(3), value]),
      ));
    });
    if (params.get("image")) await this.image.use(params.get("image"));
    if (this.mode === "many") await this.batch.list();
    this.draw();
  }

  get params() {
    if (this.mode === "many") return this.batch.id ? { batch: this.batch.id } : [["mode", "many"], ...this.setup];
    if (this.comparison) return { comparison: this.comparison };
    const runs = this.sides.map((side) => side.runId).filter(Boolean);
    return this.edits || runs.length < FEWEST ? this.setup : runs.map((id) => ["run", id]);
  }

  get setup() {
    const params = paramsOf(this.form.draft());
    if (this.image.hash) params.set("image", this.image.hash);
    this.sides.forEach((side, index) => {
      if (side.label) params.set(`c${index}`, side.label);
      for (const [name, value] of Object.entries(side.ownValues())) params.set(`c${index}.${name}`, value);
    });
    return params;
  }

  write({ push = false } = {}) {
    clearTimeout(this.writing);
    if (this.root.hidden) return;
    const params = new URLSearchParams(this.params);
    this.at = params.toString();
    if (push) this.shell.views.push(params);
    else this.shell.go("compare", params, { replace: true });
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
      this.write();
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

  // A column that nobody has chosen a model for takes the first that the others do not have.
  suggest(side) {
    if (side.wanted.model || !this.models.length) return;
    const taken = this.sides.filter((other) => other !== side).map((other) => other.wanted.model);
    const usable = this.models.filter(({ state }) => ["ready", "loading"].includes(state));
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
    this.write();
  }

  stand() {
    this.sides.forEach((side, index) => side.stand(index, this.sides.length));
    this.place.dataset.count = String(this.sides.length);
    this.draw();
  }

  draw() {
    const { busy, root } = this;
    this.form.busy(busy || this.batch?.running === true);
    root.querySelector("[data-do='add']").disabled = busy || this.sides.length >= MOST;
    for (const side of this.sides) {
      side.fit(this.form.skill, this.form.settingNames);
      side.markEye(this.form.skill === "gaze" ? this.form.extra.eye : null);
      for (const button of side.root.querySelectorAll("[data-do='swap'], [data-do='remove']")) button.disabled = busy;
    }
    for (const button of root.querySelectorAll(".cmp-kept")) button.hidden = !this.comparison || busy;
    const page = root.querySelector("[data-do='page']");
    if (this.comparison) page.href = `/api/comparisons/${encodeURIComponent(this.comparison)}/page.html`;
    root.dataset.run = busy ? "running" : this.sides.some((side) => side.runId) ? "done" : "idle";
  }

  // The image is put into every column. A new one makes the old results meaningless.
  async show(url, alt) {
    await Promise.all(this.sides.map(({ column }) => (url ? column.show(url, alt) : column.viewer.clear())));
    this.picture = { url, alt };
    this.stop();
    this.comparison = null;
    delete this.form.extra.eye;
    delete this.form.extra.face;
    delete this.form.extra.refs;
    for (const side of this.sides) side.clear();
    this.findings.clear();
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

  // ------------------------------------------------------------------------------------------- running

  // The asks of the first `most` columns; null if one of them is none yet.
  asks(most = MOST) {
    const sides = this.sides.slice(0, most);
    const shared = this.form.request({ lacksPrompt: sides.every((side) => side.ownValues().prompt) });
    return shared && sides.map((side) => side.request(shared));
  }

  async run() {
    if (this.busy) return;
    this.fail("");
    this.form.fail("");
    if (this.mode === "many") {
      await this.batch.run();
      return;
    }
    if (!this.picture) {
      this.fail(this.words.missing_image);
      return;
    }
    await this.image.storing;
    const columns = this.asks();
    const { hash } = this.image;
    if (!columns || !hash) return;
    const bare = hash === NO_IMAGE;
    if (!bare) this.shell.send({ image: { id: `cmp-${hash.slice(0, 16)}`, hash } });
    const asked = bare ? columns.map((column) => ({ ...column, image: false })) : columns;
    if (!this.shell.send({ compare: { columns: asked } })) this.fail(this.shell.words.offline);
  }

  stop() {
    if (this.mode === "many" && this.batch.running) this.batch.cancel();
    for (const side of this.sides) {
      if (BUSY.includes(side.root.dataset.run)) this.shell.send({ stop: side.column.name });
    }
  }

  receive(message) {
    if (message.engine?.models) this.offer(message.engine.models);
    if (message.progress) for (const side of this.sides) side.step(message.progress);
    if (message.history) this.batch.changed();
    if (message.closed) for (const side of this.sides) if (BUSY.includes(side.root.dataset.run)) side.column.settle("lost");
    const side = this.sides.find(({ column }) => column.name === message.column);
    if (side) this.receiveFor(side, message);
  }

  receiveFor(side, message) {
    if (message.begin) {
      this.findings.clear();
      this.edits = false;
      side.begin(message.begin);
      if (message.begin.comparison && message.begin.comparison !== this.comparison) {
        this.comparison = message.begin.comparison;
        this.write({ push: true });
      }
    }
    if (message.invalid) this.invalid(side, message.invalid);
    if (message.fragments) side.column.push(message.fragments);
    if (!message.run) return;
    side.column.settle(message.run);
    this.draw();
    if (!this.busy) this.findings.look();
  }

  invalid(side, { field, text }) {
    if (field === "image") this.fail(text);
    else if (field === "prompt" || field === "refs" || field === "schema") this.form.fail(text);
    else side.fail(text);
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
