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
    this.items = { many: [], gaze: [] };
    this.use(null);
    root.querySelector(".sources").addEventListener("change", () => this.draw());
  }

  // Which set the skill takes; null for none.
  use(skill) {
    this.set = USES[skill] ?? null;
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
    this.items = { many: [], gaze: [] };
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
      item.element.classList.toggle("unused", this.set === "gaze" && item.kind !== this.source);
    }
    const count = this.root.querySelector(".refs-count");
    count.textContent = this.shown.length ? this.words.references.count.replace("{count}", this.shown.length) : "";
    this.root.querySelector("[data-act='clear-refs']").hidden = this.shown.length === 0;
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
    if (this.set === "many") return { refs: this.shown.map(({ at }) => at) };
    if (this.set !== "gaze") return {};
    const used = this.shown.find(({ kind }) => kind === this.source);
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
