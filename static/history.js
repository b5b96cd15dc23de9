// The history: every run that is kept, found by words and filters, and what can be done with it. The address
// holds the filters; `more` loads on as the end of the list comes near.
import { address, ask } from "./api.js";
import { Choice } from "./history_choice.js";
import { Deleted } from "./history_deleted.js";
import { Filters } from "./history_filters.js";
import { Peek } from "./history_peek.js";
import { Rows } from "./history_rows.js";
import { Storage } from "./history_storage.js";
import { TYPING } from "./keys.js";
import { runPath } from "./query.js";
import { say } from "./say.js";

const PAGE = 50;
const MOST = 500; // that the server gives at once
const SETTLE_MS = 160;
const NARROW = "(max-width: 859px)";

export class History {
  constructor(root, shell) {
    Object.assign(this, { root, shell });
    this.words = JSON.parse(root.dataset.words);
    this.rows = new Rows(root.querySelector(".hi-rows"), this.words);
    this.filters = new Filters(root, {
      words: this.words,
      changed: () => this.filtered(),
      named: (model) => shell.models.models.find(({ id }) => id === model)?.name ?? model,
    });
    this.choice = new Choice(this);
    this.peek = new Peek(root.querySelector(".hi-peek"), { words: this.words, shell, saved: () => this.later() });
    this.storage = new Storage(root, { words: this.words, shell, changed: () => this.refresh() });
    this.deleted = new Deleted(root, { words: this.words, shell, restored: () => this.refresh({ keep: true }) });
    this.current = null;
    this.next = "";
    this.reading = 0;
    this.busy = false;
    this.stale = true;
    this.keys = this.shortcuts();
    this.bind();
  }

  // With the filters of the address.
  open(params) {
    const others = this.filters.take(params);
    if (others || this.stale) this.refresh();
    this.storage.refresh();
    this.deleted.refresh();
  }

  close() {
    this.peek.saveNotes();
  }

  // Runs began, ended, changed or went away.
  receive({ history }) {
    if (!history) return;
    this.stale = true;
    if (!this.root.hidden) this.later();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.refresh({ keep: true });
      this.storage.refresh();
      this.deleted.refresh();
    }, SETTLE_MS);
  }

  filtered() {
    this.shell.go("history", this.filters.values, { replace: true });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), SETTLE_MS);
  }

  // Reads the list again: its first page, or with `keep` as many as are there.
  async refresh({ keep = false } = {}) {
    const limit = keep ? Math.min(MOST, Math.max(PAGE, this.rows.ids.length)) : PAGE;
    await this.read({ limit }, (found) => {
      this.stale = false;
      this.rows.show(found.runs, found.html, { some: this.filters.any });
      this.choice.retain(this.rows.ids);
      this.filters.offer(found.facets);
      if (!keep) this.root.querySelector(".hi-scroll").scrollTop = 0;
      this.select(this.rows.summary(this.current) ? this.current : this.first());
    });
  }

  async more() {
    if (!this.next || this.busy) return;
    await this.read({ limit: PAGE, cursor: this.next }, (found) => {
      this.rows.show(found.runs, found.html, { more: true, some: this.filters.any });
      this.choice.draw();
    });
  }

  // Only the answer to the latest question counts.
  async read(part, take) {
    const turn = ++this.reading;
    this.busy = true;
    let found;
    try {
      found = await ask(address("/api/runs", { ...this.filters.query, ...part }));
    } catch (error) {
      if (turn === this.reading) this.fail(error);
      return;
    } finally {
      if (turn === this.reading) this.busy = false;
    }
    if (turn !== this.reading) return;
    this.next = found.next;
    this.state(found.total ? "runs" : this.filters.any ? "nothing" : "empty");
    this.filters.count(found.total);
    take(found);
  }

  fail(error) {
    this.root.querySelector(".hi-error").textContent = say(this.words.unreachable, { reason: error.message || this.shell.words.offline_short });
    this.state("failed");
  }

  state(name) {
    this.root.dataset.state = name;
    for (const place of this.root.querySelectorAll("[data-when]")) place.hidden = place.dataset.when !== name;
    this.root.querySelector(".hi-more").hidden = !this.next;
    if (name !== "runs") this.select(null);
  }

  first() {
    return matchMedia(NARROW).matches ? null : this.rows.ids[0] ?? null;
  }

  // The run that is looked at: beside the list, or over it where there is no room.
  select(id, { focus = false } = {}) {
    this.current = id;
    const summary = id && this.rows.summary(id);
    if (summary) this.peek.show(summary);
    else this.peek.clear();
    this.choice.draw();
    const row = this.rows.row(id);
    for (const link of this.root.querySelectorAll(".hi-rows .run-link")) link.tabIndex = row?.contains(link) ? 0 : -1;
    if (!focus || !row) return;
    row.scrollIntoView({ block: "nearest" });
    row.querySelector(".run-link").focus({ preventScroll: true });
  }

  step(by) {
    const { ids } = this.rows;
    const at = ids.indexOf(this.current);
    const to = ids[Math.min(ids.length - 1, Math.max(0, at + by))];
    if (to) this.select(to, { focus: true });
    if (at + by >= ids.length - 3) this.more();
  }

  openRun(id = this.current) {
    if (id) this.shell.go("playground", { run: id });
  }

  async remove(ids) {
    if (!ids.length) return;
    const at = this.rows.ids.indexOf(this.current);
    const gone = new Set(ids);
    const after = [...this.rows.ids.slice(at), ...this.rows.ids.slice(0, at).reverse()].find((id) => !gone.has(id));
    const { undo } = await ask("/api/runs/delete", { method: "POST", json: { ids } });
    this.choice.clear();
    this.root.classList.remove("peeking");
    this.current = after ?? null;
    await this.refresh({ keep: true });
    if (after && !matchMedia(NARROW).matches) this.select(after, { focus: true });
    this.shell.toast(say(this.words.deleted, { n: ids.length }), {
      action: { label: this.words.undo, run: () => this.attempt(() => this.restore(undo, ids[0])) },
    });
  }

  async restore(token, id) {
    await ask("/api/undo", { method: "POST", json: { token } });
    this.current = id;
    await this.refresh({ keep: true });
  }

  async pin(id) {
    const { pinned } = this.rows.summary(id);
    await ask(runPath(id), { method: "PATCH", json: { pinned: !pinned } });
    await this.refresh({ keep: true });
  }

  // The server's reason is said where the person looks.
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.shell.fail(error);
    }
  }

  // The selected ones, or the one that is looked at.
  removeChosen() {
    const { list } = this.choice;
    this.attempt(() => this.remove(list.length ? list : [this.current].filter(Boolean)));
  }

  shortcuts() {
    return {
      "/": () => this.filters.focus(),
      j: () => this.step(1),
      k: () => this.step(-1),
      x: () => this.current && this.choice.toggle(this.current),
      p: () => this.peek.toggle("pin"),
      c: () => this.choice.compare(),
      escape: () => this.escape(),
    };
  }

  actions() {
    return {
      more: () => this.more(),
      retry: () => this.refresh(),
      clear: () => this.filters.clear(),
      back: () => this.leavePeek(),
      open: () => this.openRun(),
      share: () => this.shell.share({ run: this.current }),
      pin: () => this.peek.toggle("pin"),
      good: () => this.peek.toggle("good"),
      bad: () => this.peek.toggle("bad"),
      "delete-one": () => this.attempt(() => this.remove([this.current])),
      delete: () => this.removeChosen(),
      compare: () => this.choice.compare(),
      export: () => this.choice.export(),
      unselect: () => this.choice.clear(),
    };
  }

  bind() {
    const { root } = this;
    const actions = this.actions();
    root.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey) return;
      const control = event.target.closest("[data-do]");
      const act = control && actions[control.dataset.do];
      if (!act) {
        this.clicked(event);
        return;
      }
      event.preventDefault();
      act();
    });
    root.addEventListener("dblclick", (event) => {
      const row = event.target.closest(".hi-rows li[data-id]");
      if (row && !event.target.closest("label, button")) this.openRun(row.dataset.id);
    });
    root.addEventListener("keydown", (event) => this.key(event));
    const near = new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && this.more(), {
      root: root.querySelector(".hi-scroll"),
      rootMargin: "400px",
    });
    near.observe(root.querySelector(".hi-more"));
  }

  clicked(event) {
    const group = event.target.closest(".hi-group-link");
    if (group) {
      event.preventDefault();
      this.shell.go("compare", { comparison: group.closest("[data-comparison]").dataset.comparison });
      return;
    }
    const row = event.target.closest(".hi-rows li[data-id]");
    if (!row) return;
    const { id } = row.dataset;
    if (event.target.closest("label, input")) this.choice.clicked(event, id);
    else if (event.target.closest(".run-pin")) this.attempt(() => this.pin(id));
    else {
      event.preventDefault();
      if (event.shiftKey) this.choice.reach(id);
      this.select(id, { focus: true });
      this.root.classList.add("peeking");
    }
  }

  leavePeek() {
    this.root.classList.remove("peeking");
    this.rows.row(this.current)?.querySelector(".run-link").focus();
  }

  // Keys of the list; single letters are in `shortcuts`.
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.shell.dialogs.current) return;
    const fromSearch = event.target === this.filters.search;
    if (event.target.matches(TYPING) && !(fromSearch && event.key === "ArrowDown")) return;
    const control = event.target.closest("button, input, label, a:not(.run-link)");
    const keys = {
      ArrowDown: () => this.step(fromSearch ? 0 : 1),
      ArrowUp: () => this.step(-1),
      Home: () => this.step(-Infinity),
      End: () => this.step(Infinity),
      Enter: () => this.openRun(),
      Delete: () => this.removeChosen(),
    };
    const act = keys[event.key];
    if (!act || (control && !fromSearch && event.key !== "Delete")) return;
    event.preventDefault();
    act();
  }

  escape() {
    const { search } = this.filters;
    if (this.choice.list.length) this.choice.clear();
    else if (this.root.classList.contains("peeking")) this.leavePeek();
    else if (document.activeElement === search && search.value) this.filters.clearSearch();
    else document.activeElement.blur();
  }
}
