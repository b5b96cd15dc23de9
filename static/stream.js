// Puts the server's fragments into their slots, at most once per animation frame.
import { Parts } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const STICKY_PX = 48;
const LONG_ANSWER = 40;
const RESULT_SLOTS = ["answer", "list"];
const TEXT_SLOTS = ["reasoning", "answer"];
const EMPTIED = ["reasoning", "reasoning_time", "answer", "list", "marks", "metrics", "status"];

export class Stream {
  constructor(root, changed) {
    this.root = root;
    this.changed = changed;
    this.box = root.querySelector(".stream");
    this.reasoning = root.querySelector(".reasoning");
    this.result = root.querySelector(".result");
    this.slots = Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((e) => [e.dataset.slot, e]));
    this.parts = new Parts(root, this.slots);
    this.waiting = [];
    this.forget();
  }

  // Insertion points and keyed children, by the element that is a slot.
  forget() {
    this.open = new Map();
    this.keyed = new Map();
  }

  clear() {
    this.waiting = [];
    this.forget();
    this.parts.use([]);
    for (const name of EMPTIED) this.slots[name]?.replaceChildren();
    this.reasoning.hidden = true;
    this.result.hidden = true;
    this.slots.answer.classList.remove("long");
    this.root.classList.remove("unsettled");
  }

  // Until it is settled, `.unsettled` keeps back what is known only at the end.
  begin({ title, reasoning, parts = [], ask }) {
    this.clear();
    this.prose = ask?.skill === "caption"; // always a sentence: set as one from its first word
    this.root.classList.add("unsettled");
    this.slots.title.textContent = title;
    this.reasoning.hidden = !reasoning;
    this.parts.use(parts.length > 1 ? parts : []);
    if (parts.length > 1) this.result.hidden = false;
  }

  push(fragments) {
    if (!this.waiting.length) requestAnimationFrame(() => this.flush());
    this.waiting.push(...fragments);
  }

  flush() {
    const { box, waiting } = this;
    if (!waiting.length) return;
    this.waiting = [];
    // Text is followed down as it grows; a list is not, so that its heading stays in sight.
    const text = !this.parts.all.length && waiting.some(({ slot }) => TEXT_SLOTS.includes(slot));
    const sticky = text && box.scrollHeight - box.scrollTop - box.clientHeight < STICKY_PX;
    for (const fragment of waiting) this.apply(fragment);
    this.slots.answer.classList.toggle("long", this.prose || this.headline().length > LONG_ANSWER);
    this.parts.summarise();
    if (sticky) box.scrollTop = box.scrollHeight;
    this.changed();
  }

  // The answer without what is noted below it.
  headline() {
    const { answer } = this.slots;
    const note = answer.querySelector(":scope > .answer-note")?.textContent ?? "";
    return answer.textContent.slice(0, answer.textContent.length - note.length);
  }

  // The contract is in `visualizers/fragment.py`.
  apply({ slot, op, html, key, part = 0 }) {
    const target = this.parts.slot(slot, part) ?? this.slots[slot];
    if (!target) return;
    const nodes = parse(html, target.namespaceURI === SVG);
    const open = this.open.get(target);
    if (op === "append") (open ?? target).append(...nodes);
    else if (op === "open") {
      (open ?? target).append(...nodes);
      this.open.set(target, nodes[0]);
    } else if (op === "close") {
      open?.replaceWith(...nodes);
      this.open.delete(target);
    } else if (op === "put") this.put(target, key, nodes);
    else if (op === "replace") {
      target.replaceChildren(...nodes);
      this.open.delete(target);
      this.keyed.delete(target);
    }
    if (RESULT_SLOTS.includes(slot) && target.hasChildNodes()) this.result.hidden = false;
  }

  put(target, key, nodes) {
    if (!this.keyed.has(target)) {
      this.keyed.set(target, new Map([...target.children].map((child) => [child.dataset.key, child])));
    }
    const known = this.keyed.get(target);
    const old = known.get(key);
    if (old) old.replaceWith(...nodes);
    else target.append(...nodes);
    known.set(key, nodes[0]);
  }

  // What is still queued belongs to the run that just ended.
  settle() {
    this.flush();
    this.root.classList.remove("unsettled");
    if (!this.slots.reasoning.hasChildNodes()) this.reasoning.hidden = true;
  }

  notice(text) {
    if (this.slots.notice) this.slots.notice.textContent = text;
  }

  answerText() {
    const { answer, list } = this.slots;
    const text = answer.querySelector(".raw") ?? answer;
    const entries = [...list.querySelectorAll(".part-head, .entry")];
    return (text.textContent || entries.map((entry) => entry.textContent).join("\n")).trim();
  }
}

// Fragments are escaped where they are made, on the server.
function parse(html, svg) {
  if (svg) {
    const holder = document.createElementNS(SVG, "svg");
    holder.innerHTML = html;
    return [...holder.childNodes];
  }
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return [...holder.content.childNodes];
}
