// The batches that were run before, to be opened again.
import { address, ask } from "./api.js";
import { clock, day, say } from "./say.js";

export class BatchList {
  // `current()` is the id of the one that is shown, `fail(error)` says why there is no list.
  constructor(root, { words, current, fail }) {
    Object.assign(this, { root, words, current, fail });
  }

  async refresh() {
    let found;
    try {
      found = await ask("/api/batches");
    } catch (error) {
      this.fail(error);
      return;
    }
    const items = found.batches.map((batch) => this.entry(batch));
    this.root.hidden = items.length === 0;
    this.root.querySelector("ul").replaceChildren(...items);
  }

  entry({ id, title, total, state, created_at: created }) {
    const link = made("a", "bt-entry");
    const at = new Date(created);
    link.href = address("/", { view: "compare", batch: id });
    link.dataset.batch = id;
    if (id === this.current()) link.setAttribute("aria-current", "true");
    const images = say(this.words.title, { n: total });
    const when = `${day(at, this.words)}, ${clock(at)}`;
    const note = [images, this.words.states[state] ?? state, when].join(" · ");
    link.append(Object.assign(made("b"), { textContent: title || images }), Object.assign(made("span"), { textContent: note }));
    const item = made("li");
    item.append(link);
    return item;
  }

  // None of them is shown any more.
  release() {
    for (const link of this.root.querySelectorAll(".bt-entry")) link.removeAttribute("aria-current");
  }
}

function made(name, className = "") {
  return Object.assign(document.createElement(name), { className });
}
