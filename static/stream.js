// Puts the server's fragments into their slots, at most once per animation frame.
const SVG = "http://www.w3.org/2000/svg";
const STICKY_PX = 48;
const LONG_ANSWER = 40;
const RESULT_SLOTS = ["answer", "list"];

export class Stream {
  constructor(root, changed) {
    this.root = root;
    this.changed = changed;
    this.box = root.querySelector(".stream");
    this.reasoning = root.querySelector(".reasoning");
    this.result = root.querySelector(".result");
    this.slots = Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((e) => [e.dataset.slot, e]));
    this.waiting = [];
    this.open = new Map();
  }

  clear() {
    this.waiting = [];
    this.open.clear();
    for (const name of ["reasoning", "reasoning_time", "answer", "list", "marks", "metrics", "status"]) {
      this.slots[name].replaceChildren();
    }
    this.reasoning.hidden = true;
    this.result.hidden = true;
    this.slots.answer.classList.remove("long");
  }

  begin({ title, reasoning }) {
    this.clear();
    this.slots.title.textContent = title;
    this.reasoning.hidden = !reasoning;
  }

  push(fragments) {
    if (!this.waiting.length) requestAnimationFrame(() => this.flush());
    this.waiting.push(...fragments);
  }

  flush() {
    const { box } = this;
    const sticky = box.scrollHeight - box.scrollTop - box.clientHeight < STICKY_PX;
    const fragments = this.waiting.splice(0);
    for (const fragment of fragments) this.apply(fragment);
    this.slots.answer.classList.toggle("long", this.slots.answer.textContent.length > LONG_ANSWER);
    if (sticky) box.scrollTop = box.scrollHeight;
    if (fragments.length) this.changed();
  }

  // The contract is in `visualizers/fragment.py`.
  apply({ slot, op, html, key }) {
    const target = this.slots[slot];
    if (!target) return;
    const nodes = parse(html, target.namespaceURI === SVG);
    const open = this.open.get(slot);
    if (op === "append") (open ?? target).append(...nodes);
    else if (op === "open") {
      (open ?? target).append(...nodes);
      this.open.set(slot, nodes[0]);
    } else if (op === "close") {
      open?.replaceWith(...nodes);
      this.open.delete(slot);
    } else if (op === "put") {
      const old = [...target.children].find((child) => child.dataset.key === key);
      if (old) old.replaceWith(...nodes);
      else target.append(...nodes);
    } else if (op === "replace") {
      target.replaceChildren(...nodes);
      this.open.delete(slot);
    }
    if (RESULT_SLOTS.includes(slot) && target.hasChildNodes()) this.result.hidden = false;
  }

  // What is still queued belongs to the run that just ended.
  settle() {
    this.flush();
    if (!this.slots.reasoning.hasChildNodes()) this.reasoning.hidden = true;
  }

  say(text) {
    this.slots.status.textContent = text;
  }

  notice(text) {
    this.slots.notice.textContent = text;
  }

  answerText() {
    const { answer, list } = this.slots;
    const text = answer.querySelector(".raw") ?? answer;
    return (text.textContent || [...list.children].map((entry) => entry.textContent).join("\n")).trim();
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
