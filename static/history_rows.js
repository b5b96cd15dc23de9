// The rows of the history: under a heading for each day, runs that belong together under one of their own.
// Rows come from the server as `<li class="run">`; one that did not change keeps its element.
import { clock, day, say } from "./say.js";

export class Rows {
  constructor(list, words) {
    Object.assign(this, { list, words });
    this.known = new Map();
    this.order = [];
  }

  get ids() {
    return this.order;
  }

  row(id) {
    return this.known.get(id)?.row ?? null;
  }

  summary(id) {
    return this.known.get(id)?.summary ?? null;
  }

  // Shows `runs`, whose rows are the elements of `html`, after those that are there or, without `more`, alone.
  // With `some` those that fit a filter, so that a comparison may be there in part.
  show(runs, html, { more = false, some = false } = {}) {
    this.some = some;
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const fresh = new Map([...holder.content.querySelectorAll("li[data-id]")].map((row) => [row.dataset.id, row]));
    const known = more ? new Map(this.known) : new Map();
    for (const summary of runs) {
      const row = fresh.get(summary.id);
      if (row) known.set(summary.id, this.entry(summary, row));
    }
    this.known = known;
    this.arrange();
  }

  entry(summary, row) {
    const before = this.known.get(summary.id);
    const html = row.outerHTML;
    if (before?.html === html) return { ...before, summary };
    for (const time of row.querySelectorAll("time")) local(time);
    row.querySelector("a")?.setAttribute("draggable", "false");
    if (before) before.row.replaceWith(row);
    return { row, html, summary };
  }

  // Puts the rows into the list, in order, with the headings they need. Elements that are in place stay there.
  arrange() {
    const wanted = [];
    let today = null;
    let group = null;
    this.order = this.inColumns();
    for (const id of this.order) {
      const { row, summary } = this.known.get(id);
      const date = day(new Date(summary.created_at), this.words);
      if (date !== today) {
        wanted.push(this.heading(date));
        today = date;
        group = null;
      }
      const { comparison } = summary;
      if (comparison && comparison !== group) wanted.push(this.groupHead(comparison, summary));
      group = comparison ?? null;
      row.classList.toggle("grouped", Boolean(comparison));
      wanted.push(row);
    }
    place(this.list, wanted);
  }

  // The runs of one comparison stand in the order of its columns.
  inColumns() {
    const ids = [...this.known.keys()];
    const order = [];
    while (ids.length) {
      const { comparison } = this.summary(ids[0]);
      const end = ids.findIndex((id) => !comparison || this.summary(id).comparison !== comparison);
      const group = ids.splice(0, end < 0 ? ids.length : Math.max(1, end));
      order.push(...group.sort((a, b) => (comparison ? this.summary(a).column - this.summary(b).column : 0)));
    }
    return order;
  }

  heading(text) {
    const kept = this.list.querySelector(`:scope > .hi-day[data-day="${CSS.escape(text)}"]`);
    if (kept) return kept;
    const heading = element("li", "hi-day");
    heading.dataset.day = text;
    heading.append(element("h2", "", text));
    return heading;
  }

  groupHead(id, summary) {
    const kept = this.list.querySelector(`:scope > .hi-group[data-comparison="${CSS.escape(id)}"]`);
    const shown = [...this.known.values()].filter(({ summary: other }) => other.comparison === id).length;
    const n = Math.max(shown, summary.comparison_runs);
    const { group, group_part: part } = this.words;
    const named = say(summary.comparison_kind === "batch" ? group.batch : this.some && shown < n ? part : group.compare, { n, shown });
    const text = summary.comparison_kind === "batch" && summary.comparison_title ? `${named} · ${summary.comparison_title}` : named;
    if (kept && kept.textContent === text) return kept;
    const head = element("li", "hi-group");
    head.dataset.comparison = id;
    const link = element("a", "hi-group-link", text);
    link.href = `/?view=compare&comparison=${encodeURIComponent(id)}`;
    link.title = this.words.open_group;
    head.append(link);
    return head;
  }

  mark(current, chosen) {
    for (const [id, { row }] of this.known) {
      row.classList.toggle("current", id === current);
      row.classList.toggle("chosen", chosen.has(id));
      const box = row.querySelector("input[type='checkbox']");
      if (box) box.checked = chosen.has(id);
    }
    this.list.classList.toggle("choosing", chosen.size > 0);
  }
}

// The children of `list` become `wanted`, moving as few as possible.
function place(list, wanted) {
  const keep = new Set(wanted);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((node, index) => {
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
  });
}

function local(time) {
  const date = new Date(time.dateTime);
  time.textContent = clock(date);
  time.title = date.toLocaleString();
}

function element(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
