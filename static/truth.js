// What the person knows to be in the image of a run: placed on it or read from a file, and what the run made of it.
// Counting, words and marks are the server's, see `app/routes/truth.py`.
import { ask } from "./api.js";
import { say } from "./say.js";

const SKILLS = ["point", "detect", "segment"];
const SVG = "http://www.w3.org/2000/svg";

export class Truth {
  constructor(root, { shell, column, references }) {
    Object.assign(this, { root, shell, column, references });
    this.words = shell.words.truth;
    this.panel = root.querySelector("#ds-truth");
    this.tab = root.querySelector("[data-inspect='truth']");
    this.shown = root.querySelector(".truth");
    this.line = this.shown.querySelector("[role='status']");
    this.list = this.shown.querySelector("ul");
    this.said = this.panel.querySelector(".field-error");
    this.of = this.panel.querySelector("select");
    this.file = this.panel.querySelector("input[type='file']");
    this.layer = document.createElementNS(SVG, "svg");
    this.layer.classList.add("truth-layer");
    this.layer.setAttribute("role", "group");
    this.layer.setAttribute("aria-label", this.words.layer);
    column.viewer.marks.after(this.layer);
    const acts = {
      "truth-point": () => this.place("point"),
      "truth-box": () => this.place("box"),
      "truth-save": () => this.save(),
      "truth-file": () => this.file.click(),
      "truth-remove": () => this.put({ truth: null }),
    };
    this.panel.addEventListener("click", (event) => acts[event.target.closest("[data-act]")?.dataset.act]?.());
    this.of.addEventListener("change", () => (references.naming = this.of.value));
    this.file.addEventListener("change", () => this.read(this.file.files[0]));
    this.clear();
  }

  clear() {
    this.id = null;
    this.tab.hidden = true;
    this.mark(false);
    this.references.known([]);
    this.draw({ line: "", layer: "", entries: "", truth: null });
  }

  // A finished run is shown, as the history knows it.
  async take(record) {
    this.id = record.id;
    this.tab.hidden = !SKILLS.includes(record.skill) || !record.picture;
    this.panel.querySelector("[data-act='truth-point']").hidden = record.skill !== "point"; // boxes are held against boxes
    const names = record.parts.length > 1 ? record.parts.map(({ create }) => create.object) : [];
    this.of.replaceChildren(...names.map((name) => new Option(name)));
    this.of.closest("label").hidden = names.length === 0;
    this.references.naming = this.of.value;
    if (record.truth) await this.tell(() => ask(this.path));
  }

  // While the panel is open, places on the image are what is there.
  mark(on) {
    this.references.mark(on);
    this.column.viewer.refresh();
  }

  place(shape) {
    this.references.addAt(shape, this.column.viewer.zoom.middle);
  }

  get path() {
    const width = Math.round(this.column.viewer.zoom.width ?? 0) || "";
    return `/api/runs/${encodeURIComponent(this.id)}/truth?width=${width}`;
  }

  async save() {
    const truth = this.references.items.truth.map(({ at, label = "" }) => ({ at, label }));
    if (truth.length) await this.put({ truth });
    else this.said.textContent = this.words.nothing;
  }

  async read(file) {
    if (!file) return;
    const text = await file.text();
    this.file.value = "";
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      this.said.textContent = say(this.words.not_json, { reason: error.message });
      return;
    }
    await this.put({ file: parsed });
  }

  put(json) {
    return this.tell(() => ask(this.path, { method: "PUT", json }));
  }

  async tell(asking) {
    const { id } = this;
    let found;
    try {
      found = await asking();
    } catch (error) {
      if (error.status === undefined) throw error;
      if (this.id === id) this.said.textContent = error.message || this.shell.words.offline_short;
      return;
    }
    if (this.id !== id) return;
    this.references.known(found.truth ?? []);
    this.draw(found);
  }

  draw({ line, layer, entries, truth }) {
    this.said.textContent = "";
    this.shown.hidden = truth === null;
    this.line.innerHTML = line;
    this.list.innerHTML = entries;
    this.layer.setAttribute("viewBox", this.column.viewer.marks.getAttribute("viewBox"));
    this.layer.innerHTML = layer;
    this.panel.querySelector("[data-act='truth-remove']").hidden = truth === null;
    this.column.evidence.drawn();
  }
}
