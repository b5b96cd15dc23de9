// One column of a comparison: which model answers in it, what it asks otherwise than the others, and its `Column`.
import { Column } from "./column.js";
import { say } from "./say.js";
import { showVerdict } from "./verdict.js";

const LETTERS = "ABCD";
const BUSY = ["queued", "running"];

export class Side {
  // `changed()` is told when model, prompt or settings of this column are others; `eye(at)` when an eye is clicked,
  // where `takesEye()` is true.
  constructor(root, { words, changed, eye, takesEye }) {
    Object.assign(this, { root, words, changed });
    this.model = root.querySelector(".side-model");
    this.variant = root.querySelector(".side-variant");
    this.own = root.querySelector(".side-own");
    this.fields = [...this.own.querySelectorAll("input, textarea, select")];
    this.models = [];
    this.wanted = { model: null, variant: "" };
    this.runId = null;
    this.column = new Column(root, { takes: takesEye, adds: (shape, at) => eye(at.length === 4 ? [(at[0] + at[2]) / 2, (at[1] + at[3]) / 2] : at) });
    this.model.addEventListener("change", () => this.choose(this.model.value, ""));
    this.variant.addEventListener("change", () => this.choose(this.model.value, this.variant.value));
    this.own.addEventListener("input", () => {
      this.count();
      changed();
    });
  }

  get busy() {
    return BUSY.includes(this.root.dataset.run);
  }

  get letter() {
    return LETTERS[this.index];
  }

  // Where it stands: its name towards the server is its number.
  stand(index, count) {
    const letter = LETTERS[index];
    const { root, words } = this;
    this.index = index;
    this.column.name = root.dataset.column = String(index);
    root.querySelector(".side-letter").textContent = letter;
    root.setAttribute("aria-label", say(words.column, { letter }));
    root.querySelector(".side-model-name").textContent = say(words.model, { letter });
    const next = LETTERS[index + 1];
    const buttons = {
      own: { shown: true, name: say(words.own, { letter }) },
      swap: { shown: index < count - 1, name: say(words.swap, { letter, next }) },
      remove: { shown: count > 2, name: say(words.remove, { letter }) },
    };
    for (const [act, { shown, name }] of Object.entries(buttons)) {
      const button = root.querySelector(`[data-do="${act}"]`);
      button.hidden = !shown;
      button.setAttribute("aria-label", name);
      if (act !== "own") button.title = name;
    }
    this.own.setAttribute("aria-label", say(words.own, { letter }));
    for (const field of this.fields) {
      const id = `cmp-${index}-${field.name}`;
      this.own.querySelector(`[data-for="${field.name}"]`).htmlFor = id;
      field.id = id;
    }
  }

  // The models that there are; the choice stays where it can.
  offer(models) {
    this.models = models;
    const options = models.map((model) => {
      const option = new Option(model.name, model.id);
      option.disabled = model.state === "unavailable";
      return option;
    });
    this.model.replaceChildren(...options);
    this.draw();
  }

  choose(model, variant = "") {
    this.wanted = { model, variant };
    this.draw();
    this.changed();
  }

  get chosen() {
    return this.models.find(({ id }) => id === this.model.value);
  }

  draw() {
    const { model, variant } = this.wanted;
    const known = this.models.some(({ id }) => id === model);
    if (model && !known) this.model.append(new Option(model, model)); // of an old run; it may not be here any more
    if (model) this.model.value = model;
    const adapters = [...(this.chosen?.adapters ?? [])];
    if (variant && !adapters.includes(variant)) adapters.push(variant);
    this.variant.replaceChildren(this.variant.options[0], ...adapters.map((name) => new Option(name, name)));
    this.variant.value = variant;
    this.variant.closest("label").hidden = adapters.length === 0;
    this.note();
  }

  // Where its model is, how near it is to answering, and whether the run that is there is asked again.
  note() {
    const { brought, chosen, root, words } = this;
    const badge = root.querySelector(".side-badge");
    badge.hidden = !chosen?.endpoint;
    badge.title = chosen?.description ?? "";
    const note = root.querySelector(".side-note");
    const lacks = chosen && this.skill && !chosen.skills.includes(this.skill);
    if (brought) note.textContent = words.brought;
    else if (lacks) note.textContent = say(words.lacks[this.skill], { name: chosen.name });
    else note.textContent = chosen && !chosen.loaded && !chosen.endpoint ? chosen.note : "";
    note.title = note.textContent === chosen?.note ? chosen.reason || chosen.description : note.textContent;
    note.classList.toggle("lacking", Boolean(lacks && !brought));
  }

  // Whether its run is there already, and stays while the others are asked.
  bring(brought) {
    this.brought = brought;
    this.note();
  }

  // How far its model is being loaded.
  step({ model, detail, done }) {
    if (model !== this.model.value) return;
    const share = typeof done === "number" ? ` ${Math.round(done * 100)}%` : "";
    this.root.querySelector(".side-note").textContent = `${detail}${share}`;
  }

  // `shared` is what all columns ask; this one's own words and settings go before it.
  request(shared) {
    const own = this.ownValues();
    const ask = { ...shared, settings: { ...shared.settings }, column: String(this.index), width: Math.round(this.column.viewer.zoom.width) };
    if (this.model.value) ask.model = this.model.value;
    if (this.variant.value) ask.variant = this.variant.value;
    if (own.prompt) Object.assign(ask, promptFields(shared, own.prompt));
    if (own.reasoning && shared.skill === "query") ask.reasoning = own.reasoning === "on";
    for (const [name, value] of Object.entries(own)) {
      if (name !== "prompt" && name !== "reasoning") ask.settings[name] = value;
    }
    return ask;
  }

  ownValues() {
    const said = this.fields.map((field) => [field.name, field.validity.badInput ? "?" : field.value.trim()]);
    return Object.fromEntries(said.filter(([, value]) => value !== ""));
  }

  setOwn(values) {
    for (const field of this.fields) field.value = values[field.name] ?? "";
    this.count();
  }

  count() {
    const n = Object.keys(this.ownValues()).length;
    const badge = this.root.querySelector(".side-head .changed");
    badge.textContent = String(n);
    badge.hidden = n === 0;
  }

  // What the columns of a run do not share is shown where it fits the skill.
  fit(skill, settings) {
    this.skill = skill;
    this.note();
    for (const box of this.own.querySelectorAll("[data-own]")) {
      const { own } = box.dataset;
      const takes = { prompt: !["caption", "gaze"].includes(skill), reasoning: skill === "query" };
      box.hidden = !(takes[own] ?? settings.includes(own));
    }
  }

  toggleOwn(open = this.own.hidden) {
    this.own.hidden = !open;
    this.root.querySelector("[data-do='own']").setAttribute("aria-expanded", String(open));
    if (open) this.own.querySelector("[data-own]:not([hidden]) :is(textarea, input, select)").focus();
  }

  fail(text) {
    this.root.querySelector(".side-error").textContent = text;
  }

  // In the address: the model, and after a plus the adapter.
  get label() {
    const { model, variant } = this.wanted;
    return [model ?? this.model.value, variant].filter(Boolean).join("+");
  }

  begin(begin) {
    this.runId = begin.id ?? null;
    this.fail("");
    this.column.begin(begin);
    this.column.stream.notice("");
    this.clearFindings();
  }

  // Puts in all that a run said, as it ended and without its small motions.
  restore(fragments, state) {
    const { root, column } = this;
    root.classList.add("restoring");
    column.push(fragments);
    column.settle(state);
    requestAnimationFrame(() => requestAnimationFrame(() => root.classList.remove("restoring")));
  }

  // Shows which marks have a partner elsewhere, in whose colour, the words that differ, and the figures.
  find({ only, tints, diff, reasoning, facts }) {
    const alone = new Set(only);
    this.differing(".answer", diff);
    this.differing(".prose", reasoning);
    for (const element of this.root.querySelectorAll("[data-ground]")) {
      element.dataset.match = alone.has(element.dataset.ground) ? "only" : "pair";
    }
    this.column.labels.tint(tints);
    this.column.evidence.drawn();
    this.root.querySelector(".side-facts").innerHTML = facts ?? "";
    showVerdict(this.root.querySelector(".verdict"), this.runId);
    this.root.classList.toggle("found", Boolean(facts));
    this.column.stream.box.scrollTop = 0;
  }

  // The words that differ stand beside the original, hidden until they are asked for.
  differing(where, html) {
    const original = this.root.querySelector(where);
    original.parentElement.querySelector(`:scope > .differing`)?.remove();
    if (!html) return;
    const shown = document.createElement("div");
    shown.className = `differing ${original.className}`;
    shown.innerHTML = html;
    if (shown.querySelector(".same")) return; // nothing to mark
    original.after(shown);
  }

  // The places that the question refers to, in every column alike.
  refer(places) {
    this.root.querySelector(".side-refs").replaceChildren(...places.map(reference));
  }

  clear() {
    this.runId = null;
    this.column.clear();
    this.clearFindings();
  }

  clearFindings() {
    for (const element of this.root.querySelectorAll(".differing")) element.remove();
    for (const element of this.root.querySelectorAll("[data-match]")) delete element.dataset.match;
    this.column.labels.tint({});
    this.root.querySelector(".side-facts").replaceChildren();
    showVerdict(this.root.querySelector(".verdict"), null);
    this.root.classList.remove("found");
  }

  remove() {
    this.column.remove();
  }
}

function reference({ kind, at }) {
  const mark = document.createElement("i");
  const [left, top, right, bottom] = at.map((value) => value * 100);
  mark.className = `ref ${at.length === 4 ? "ref-box" : "ref-point"} ref-${kind}`;
  Object.assign(mark.style, { left: `${left}%`, top: `${top}%` });
  if (at.length === 4) Object.assign(mark.style, { width: `${right - left}%`, height: `${bottom - top}%` });
  return mark;
}

function promptFields({ skill }, prompt) {
  if (skill === "query") return { question: prompt };
  return { object: prompt, objects: undefined };
}
