// Several runs at once: which are selected, and what can be done with them together.
import { runPath } from "./query.js";
import { say } from "./say.js";

const MOST_COLUMNS = 4;

export class Choice {
  constructor(history) {
    this.history = history;
    this.ids = new Set();
    this.last = null;
    this.bar = history.root.querySelector(".hi-chosen");
  }

  // In the order of the list.
  get list() {
    return this.history.rows.ids.filter((id) => this.ids.has(id));
  }

  toggle(id) {
    if (!this.ids.delete(id)) this.ids.add(id);
    this.last = id;
    this.draw();
  }

  // The click on a row's box; the box itself is drawn from `ids`.
  clicked(event, id) {
    if (!event.target.matches("input")) return; // the label passes its click on to the box
    if (event.shiftKey) this.reach(id);
    else this.toggle(id);
  }

  // Everything from the last one to this one.
  reach(id) {
    const { ids } = this.history.rows;
    const [from, to] = [ids.indexOf(this.last ?? this.history.current ?? id), ids.indexOf(id)].sort((a, b) => a - b);
    for (const one of ids.slice(Math.max(0, from), to + 1)) this.ids.add(one);
    this.draw();
  }

  clear() {
    this.ids.clear();
    this.draw();
  }

  // Forgets what is no longer in the list.
  retain(ids) {
    const there = new Set(ids);
    for (const id of [...this.ids]) if (!there.has(id)) this.ids.delete(id);
  }

  draw() {
    const { rows, root, words, current } = this.history;
    const n = this.ids.size;
    rows.mark(current, this.ids);
    this.bar.hidden = n === 0;
    root.querySelector(".hi-chosen-count").textContent = say(words.selected, { n });
    const reason = this.unfit();
    const compare = this.bar.querySelector("[data-do='compare']");
    compare.setAttribute("aria-disabled", String(Boolean(reason)));
    compare.title = reason;
  }

  // Why these cannot be compared; empty if they can.
  unfit() {
    const { rows, words } = this.history;
    const { list } = this;
    if (list.length < 2 || list.length > MOST_COLUMNS) return words.compare_range;
    const images = new Set(list.map((id) => rows.summary(id).image));
    return images.size > 1 ? words.compare_images : "";
  }

  // Side by side, the oldest on the left.
  compare() {
    const reason = this.unfit();
    const { shell } = this.history;
    if (reason) shell.toast(reason);
    else shell.go("compare", this.list.reverse().map((id) => ["run", id]));
  }

  export() {
    for (const id of this.list) {
      const link = Object.assign(document.createElement("a"), { href: runPath(id, "/export"), download: "" });
      document.body.append(link);
      link.click();
      link.remove();
    }
  }
}
