// The places that a request refers to. Query, point and segment share any number of points and boxes; gaze has
// one eye or one face. They belong to the image, and go with it.
import { Reference } from "./reference.js";

const USES = { query: "many", point: "many", segment: "many", gaze: "gaze" };
const GAZE = { point: "eye", box: "face" };
const NEW_BOX = 0.1;

export class References {
  constructor(root, { words, changed }) {
    Object.assign(this, { root, words, told: changed });
    this.layer = root.querySelector(".refs");
    this.status = root.querySelector("[data-slot='refs-said']");
    this.items = { many: [], gaze: [], truth: [] };
    this.marking = false;
    this.naming = ""; // what a new place of truth is
    this.use(null);
    root.querySelector(".sources").addEventListener("change", () => this.draw());
  }

  // Which set the skill takes; null for none.
  use(skill) {
    this.asks = USES[skill] ?? null;
    this.choose();
  }

  // Whether what is placed is no reference but what the person knows to be there.
  mark(on) {
    this.marking = on;
    this.choose();
  }

  // Takes over what is known to be there.
  known(places) {
    const made = ({ at, label }) => Object.assign(new Reference(at.length === 4 ? "box" : "point", at, this), { label });
    this.items.truth = places.map(made);
    this.draw();
  }

  choose() {
    this.set = this.marking ? "truth" : this.asks;
    const hint = this.root.querySelector(".sky-hint");
    hint.hidden = this.set === null;
    hint.textContent = this.words.hints[this.set] ?? "";
    this.draw();
  }

  get shown() {
    return this.items[this.set] ?? [];
  }

  get source() {
    return this.root.querySelector("[name='source']:checked").value;
  }

  // A new one `at` a place; gaze has one of each kind. Without a place it goes to the middle of `area`.
  add(shape, at) {
    const kind = this.set === "gaze" ? GAZE[shape] : shape;
    const made = new Reference(kind, at.map(rounded), this);
    if (this.set === "truth") made.label = this.naming;
    if (this.set === "gaze") {
      this.items.gaze = this.items.gaze.filter((item) => item.kind !== kind);
      this.root.querySelector(`[name='source'][value='${kind}']`).checked = true;
    }
    this.shown.push(made);
    this.draw();
    this.say(this.label(made));
    this.told();
    return made;
  }

  // For those who do not point: into the middle of what is seen, with the focus on it.
  addAt(shape, [x, y]) {
    const box = [x - NEW_BOX, y - NEW_BOX, x + NEW_BOX, y + NEW_BOX].map((value) => Math.min(1, Math.max(0, value)));
    this.add(shape, shape === "box" ? box : [x, y]).element.focus();
  }

  remove(item) {
    const index = this.shown.indexOf(item);
    this.items[this.set] = this.shown.filter((other) => other !== item);
    this.draw();
    this.say(this.words.references.removed.replace("{count}", String(this.shown.length)));
    const next = this.shown[Math.min(index, this.shown.length - 1)];
    (next?.element ?? this.root.querySelector("[data-act='add-point']")).focus({ preventScroll: true });
    this.told();
  }

  clear() {
    this.items = { many: [], gaze: [], truth: [] };
    this.draw();
  }

  // Takes over the places of an ask, as the server says it or an address holds it.
  take({ refs = [], eye, face, force }) {
    this.items.many = refs.map((at) => new Reference(at.length === 4 ? "box" : "point", at, this));
    this.items.gaze = [eye && new Reference("eye", eye, this), face && new Reference("face", face, this)].filter(Boolean);
    if (eye || face) this.root.querySelector(`[name='source'][value='${eye ? "eye" : "face"}']`).checked = true;
    this.root.querySelector("#ds-force").checked = Boolean(force);
    this.draw();
  }

  // One of them was moved or resized.
  changed(item) {
    item.at = item.at.map(rounded);
    this.name(item);
    this.say(this.label(item));
    this.told();
  }

  draw() {
    this.layer.replaceChildren(...this.shown.map((item) => item.element));
    for (const item of this.shown) {
      this.name(item);
      item.element.classList.toggle("ref-truth", this.set === "truth");
      item.element.classList.toggle("unused", this.set === "gaze" && item.kind !== this.source);
    }
    const { length } = this.items[this.asks] ?? [];
    const count = this.root.querySelector(".refs-count");
    count.textContent = length ? this.words.references.count.replace("{count}", length) : "";
    this.root.querySelector("[data-act='clear-refs']").hidden = length === 0;
  }

  name(item) {
    const { keys, remove, corner } = this.words.references;
    item.name(this.label(item), { keys, remove, corner: (name) => filled(corner, item.corner(name)) });
  }

  label(item) {
    const alike = this.shown.filter(({ kind }) => kind === item.kind);
    return filled(this.words.references[item.kind], item.at).replace("{n}", alike.indexOf(item) + 1);
  }

  say(text) {
    this.status.textContent = text;
  }

  // The part of a run message.
  request() {
    if (this.asks === "many") return { refs: this.items.many.map(({ at }) => at) };
    if (this.asks !== "gaze") return {};
    const used = this.items.gaze.find(({ kind }) => kind === this.source);
    return { force: this.root.querySelector("#ds-force").checked, ...(used ? { [used.kind]: used.at } : {}) };
  }
}

function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}

function filled(template, [x, y, x2 = 0, y2 = 0]) {
  const numbers = { x, y, x2, y2 };
  return template.replace(/\{(x2?|y2?)\}/g, (_, name) => numbers[name].toFixed(2));
}
