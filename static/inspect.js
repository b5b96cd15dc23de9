// What is behind a finished run: its checks, its events with their times, its JSON, the code that asks for it again,
// its numbers, and the notes of people. `told(record)` hears what is known of the run. All of it is made on the server; here it is fetched when it is looked at.
import { ask } from "./api.js";
import { Audit } from "./audit.js";
import { Notes } from "./notes.js";
import { Replay, ReplayControls } from "./replay.js";
import { Truth } from "./truth.js";
import { recall, remember } from "./prefs.js";

const KEY = "inspect";
const GOING = ["queued", "running"];
const TRIES = 10;
const PAUSE_MS = 500;
const PAGES = { audit: "audit", events: "events.html", json: "raw.json", code: "code", metrics: "metrics.html" };

export class Inspect {
  constructor(root, { shell, column, references, told }) {
    Object.assign(this, { root, shell, column });
    this.after = root.querySelector(".after");
    this.panel = root.querySelector("#ds-inspect");
    this.notesPanel = root.querySelector("#ds-notes");
    this.tabs = [...root.querySelectorAll("[data-inspect]")];
    this.audit = new Audit(root, { shell, viewer: column.viewer, panel: this.panel, verdict: root.querySelector("[data-slot='verdict']") });
    this.truth = new Truth(root, { shell, column, references });
    this.notes = new Notes(this.notesPanel, { shell, told });
    this.replay = new Player(root.querySelector(".replay"), { shell, column });
    this.id = null;
    this.open = null;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.choose(tab.dataset.inspect));
    root.querySelector(".inspect-tabs").addEventListener("keydown", (event) => this.key(event));
    this.panel.addEventListener("click", (event) => this.click(event));
  }

  clear() {
    this.id = null;
    this.after.hidden = true;
    this.pages = new Map();
    this.audit.clear();
    this.truth.clear();
    this.replay.clear();
    this.draw(null);
  }

  // A run has ended, or came back from the history: then its `timeline` is here already.
  async show(id, timeline) {
    this.clear();
    this.id = id;
    this.after.hidden = false;
    if (timeline) this.replay.take(timeline);
    await this.written(id);
    if (this.id !== id) return;
    const { tab } = recall(KEY, { tab: null });
    const known = this.tabs.some(({ dataset, hidden }) => dataset.inspect === tab && !hidden);
    if (known && !this.open) this.choose(tab, { toggles: false, seen: false });
    await Promise.all([this.page("audit"), timeline ? null : this.player(id)]);
  }

  // The history writes a little later than the page is told. What is made of a run waits for its end there.
  async written(id) {
    for (let tries = 0; tries < TRIES && this.id === id; tries++) {
      const record = await this.notes.show(id);
      if (record && this.id === id && !GOING.includes(record.state)) this.truth.take(record);
      if (!record || !GOING.includes(record.state)) return;
      await new Promise((wake) => {
        this.wake = wake;
        setTimeout(wake, PAUSE_MS);
      });
    }
  }

  // The history tells of these runs.
  changed(ids) {
    if (!ids.includes(this.id)) return;
    this.wake?.();
    this.notes.show(this.id);
  }

  // A run that is too long ago or was never kept has no replay.
  async player(id) {
    try {
      const timeline = await this.replay.fetch(id);
      if (this.id === id) this.replay.take(timeline);
    } catch (error) {
      if (error.status === undefined) throw error;
    }
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tabs = this.tabs.filter(({ hidden }) => !hidden);
    const at = tabs.indexOf(event.target);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = tabs[(at + step + tabs.length) % tabs.length];
    next.focus();
    if (this.open) this.choose(next.dataset.inspect, { toggles: false });
  }

  // The one that is open closes.
  async choose(name, { toggles = true, seen = true } = {}) {
    this.draw(toggles && this.open === name ? null : name);
    remember(KEY, { tab: this.open });
    if (this.open && !Object.hasOwn(PAGES, name) && seen) this.reveal();
    if (!Object.hasOwn(PAGES, name) || !this.open) return;
    this.panel.replaceChildren();
    this.panel.dataset.shows = name;
    this.panel.setAttribute("aria-busy", "true");
    const content = await this.page(name);
    if (this.open !== name || content === undefined) return;
    this.panel.removeAttribute("aria-busy");
    this.panel.replaceChildren(content);
    this.column.evidence.drawn();
    if (seen) this.reveal();
  }

  // What was opened by hand comes into sight, as much of it as fits.
  reveal() {
    const shown = { notes: this.notesPanel, truth: this.truth.panel }[this.open] ?? this.panel;
    const box = this.column.stream.box;
    const room = box.clientHeight - this.tabs[0].offsetHeight;
    if (box.scrollHeight > box.clientHeight) shown.scrollIntoView({ block: shown.offsetHeight > room ? "start" : "nearest" });
  }

  draw(name) {
    this.open = name;
    for (const tab of this.tabs) {
      const chosen = tab.dataset.inspect === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen || (!name && tab === this.tabs[0]) ? 0 : -1;
    }
    this.panel.hidden = !Object.hasOwn(PAGES, name ?? "");
    this.notesPanel.hidden = name !== "notes";
    this.truth.panel.hidden = name !== "truth";
    this.truth.mark(name === "truth");
    if (name && !this.panel.hidden) this.panel.setAttribute("aria-labelledby", `ds-inspect-${name}`);
  }

  // The content of a page of this run, fetched once; undefined if meanwhile another run is shown.
  async page(name) {
    const { id, pages } = this;
    if (!pages.has(name)) pages.set(name, this.fetch(id, name));
    const content = await pages.get(name);
    if (this.id !== id) return undefined;
    return (name === "audit" && this.audit.content) || content; // detect has made it anew since
  }

  async fetch(id, name) {
    let said;
    try {
      said = await ask(`/api/runs/${encodeURIComponent(id)}/${PAGES[name]}`);
    } catch (error) {
      this.pages.delete(name);
      return made("p", "field-error", error.message || this.shell.words.offline_short);
    }
    if (name === "audit") {
      if (this.id === id) this.audit.take(id, said);
      return this.audit.content;
    }
    const holder = made("div", "");
    if (name === "json") holder.append(made("pre", "", JSON.stringify(said, null, 2)));
    else holder.innerHTML = said.html ?? said;
    for (const pre of holder.querySelectorAll("pre")) copyable(pre, this.shell.words.copy);
    return holder;
  }

  click(event) {
    const copy = event.target.closest(".copy-code");
    if (copy) this.shell.copy(copy.parentElement.querySelector("pre").textContent, copy);
    const filter = event.target.closest(".event-filter");
    if (filter) this.filter(filter);
  }

  // Shows or hides the events of one type.
  filter(button) {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    for (const event of this.panel.querySelectorAll(`.event[data-type="${CSS.escape(button.dataset.type)}"]`)) event.hidden = !shown;
  }
}

// The replay of the run that is shown, in the column that shows it.
class Player {
  constructor(root, { shell, column }) {
    Object.assign(this, { root, shell, column });
  }

  clear() {
    this.controls?.remove();
    this.controls = this.replay = null;
    this.root.hidden = true;
  }

  // Its timeline, for the width at which the image is shown.
  async fetch(id) {
    const width = Math.round(this.column.viewer.zoom.width ?? 720);
    return ask(`/api/runs/${encodeURIComponent(id)}/timeline?width=${width}`);
  }

  // What the column shows already is the end of the timeline.
  take(timeline) {
    const { column } = this;
    const stream = {
      begin: (begin) => column.rewind(begin),
      push: (fragments) => column.push(fragments),
      settle: () => column.stream.settle(),
    };
    this.clear();
    this.replay = new Replay(timeline, { stream });
    this.controls = new ReplayControls(this.root, this.replay);
  }

  toggle() {
    this.replay?.toggle();
  }

  step(by) {
    this.replay?.step(by);
  }
}

function made(name, className, text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

// Lays a button over the text that copies it; the text can be scrolled by keyboard.
function copyable(pre, word) {
  const box = made("div", "code-box");
  const button = made("button", "text copy-code", word);
  button.type = "button";
  pre.tabIndex = 0;
  pre.replaceWith(box);
  box.append(button, pre);
}
