// The slots of a run of several objects: each object has its own group of marks, its own heading with status and
// answer, and its own list. A run of one object has none of this.
import { say } from "./say.js";
import { wordsOf } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const GOING = ["queued", "running"];

export class Parts {
  constructor(root, slots) {
    this.root = root;
    this.slots = slots;
    this.all = [];
    this.words = wordsOf(root).parts;
  }

  // How far the run is, beside the status of each object.
  summarise() {
    if (!this.all.length) return;
    const states = this.all.map(({ status }) => status.querySelector("[data-state]")?.dataset.state ?? "queued");
    const done = states.filter((state) => !GOING.includes(state)).length;
    const text = say(this.words, { done, count: states.length });
    if (this.slots.status.textContent !== text) this.slots.status.textContent = text;
  }

  // `parts`: name, colour and halo of each object; none for a run of one.
  use(parts) {
    this.all = parts.map((part, index) => this.make(part, index));
    this.root.classList.toggle("has-parts", parts.length > 0);
    if (!parts.length) return;
    this.slots.marks.replaceChildren(...this.all.map(({ marks }) => marks));
    this.slots.list.replaceChildren(...this.all.map(({ section }) => section));
  }

  make({ name, colour, halo }, index) {
    const marks = document.createElementNS(SVG, "g");
    const section = made("li", "part");
    for (const element of [marks, section]) element.dataset.part = String(index);
    section.style.cssText = `--c:${colour};--halo:${halo}`;
    section.dataset.label = name;
    const [head, dot, title] = [made("div", "part-head"), made("i", "label-dot"), made("b", "part-name")];
    const [answer, status] = [made("p", "part-answer"), made("span", "part-status")];
    const [list, metrics] = [made("ul", "list"), made("p", "part-metrics")];
    dot.setAttribute("aria-hidden", "true");
    title.textContent = name;
    list.setAttribute("aria-label", name);
    head.append(dot, title, answer, status);
    section.append(head, list, metrics);
    return { marks, section, answer, status, list, metrics };
  }

  // The element that takes fragments of `slot` of object `index`; undefined if the slot is shared.
  slot(slot, index) {
    return this.all[index]?.[slot];
  }
}

function made(name, className) {
  return Object.assign(document.createElement(name), { className });
}
