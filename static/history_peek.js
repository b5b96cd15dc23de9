// The run that is chosen in the history: its image and words, and what people add to it: name, tags, notes, pin.
import { ask } from "./api.js";
import { runPath } from "./query.js";
import { clock, day, say } from "./say.js";
import { showVerdict } from "./verdict.js";

const SAVE_AFTER_MS = 600;
const REST_MS = 150; // who walks through the list does not need every image drawn

export class Peek {
  // `saved()` is told after a change.
  constructor(root, { words, shell, saved }) {
    Object.assign(this, { root, words, shell, saved });
    this.id = null;
    this.run = null;
    this.image = root.querySelector(".hi-picture");
    this.marks = root.querySelector(".hi-marks");
    this.title = root.querySelector(".hi-title");
    this.tags = root.querySelector(".hi-tag-list");
    this.tag = root.querySelector(".hi-tag");
    this.notes = root.querySelector(".hi-notes textarea");
    this.verdict = root.querySelector(".verdict");
    this.code = root.querySelector(".run-id code");
    const copy = root.querySelector("[data-do='copy-id']");
    copy.addEventListener("click", () => shell.copy(this.id, copy));
    this.image.addEventListener("load", () => this.drawMarks());
    this.marks.addEventListener("load", () => (this.marks.hidden = false));
    this.bindFields();
  }

  bindFields() {
    const onEnter = (act) => (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      act();
    };
    this.title.addEventListener("keydown", onEnter(() => this.title.blur()));
    this.title.addEventListener("change", () => this.save({ title: this.title.value.trim() }));
    this.tag.addEventListener("keydown", onEnter(() => this.addTag()));
    this.tag.addEventListener("input", () => this.tag.value.endsWith(",") && this.addTag());
    this.tag.addEventListener("change", () => this.addTag());
    this.notes.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.saveNotes(), SAVE_AFTER_MS);
    });
    this.notes.addEventListener("blur", () => this.saveNotes());
    this.tags.addEventListener("click", (event) => {
      const { tag } = event.target.closest("[data-tag]")?.dataset ?? {};
      if (tag !== undefined) this.save({ tags: this.run.tags.filter((other) => other !== tag) });
    });
  }

  // Shows the run of a summary at once, and all of it when it is there.
  async show(summary) {
    if (this.id !== summary.id) {
      this.saveNotes();
      this.fail("");
      clearTimeout(this.drawing);
      this.id = summary.id;
      this.run = null;
      this.image.dataset.shown = "";
      showVerdict(this.verdict, null);
    }
    this.draw(summary);
    const { id } = summary;
    let run = null;
    try {
      run = await ask(runPath(id));
    } catch (error) {
      if (this.id === id) this.fail(error.message || this.shell.words.offline_short);
    }
    if (!run || this.id !== id) return;
    this.draw({ ...summary, ...run });
    showVerdict(this.verdict, id);
  }

  clear() {
    this.saveNotes();
    clearTimeout(this.drawing);
    this.id = this.run = null;
    this.root.dataset.state = "none";
    this.root.querySelector(".hi-run").hidden = true;
  }

  draw(run) {
    this.run = run;
    this.root.dataset.state = run.state;
    this.root.querySelector(".hi-run").hidden = false;
    put(this.title, run.title || run.prompt || this.words.skills[run.skill] || run.skill);
    if (document.activeElement !== this.notes) put(this.notes, run.notes ?? "");
    this.code.textContent = run.id;
    this.drawImage(run);
    this.drawText(run);
    this.drawTags(run.tags ?? []);
    const pressed = { pin: run.pinned, good: run.rating === 1, bad: run.rating === -1 };
    for (const [name, on] of Object.entries(pressed)) {
      this.root.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", String(Boolean(on)));
    }
    this.root.querySelector("[data-do='open']").href = `/?run=${encodeURIComponent(run.id)}`;
    this.root.querySelector("[data-do='export-one']").href = runPath(run.id, "/export");
  }

  drawText(run) {
    const state = this.root.querySelector(".hi-state");
    state.textContent = this.words.states[run.state] ?? "";
    state.hidden = !state.textContent;
    const at = new Date(run.created_at);
    const named = [run.model_name, run.variant].filter(Boolean).join(" + ");
    const facts = [run.title && run.prompt !== run.title ? run.prompt : "", named, `${day(at, this.words)}, ${clock(at)}`];
    this.root.querySelector(".hi-facts").textContent = facts.filter(Boolean).join(" · ");
    this.root.querySelector(".hi-answer").textContent = run.answer ?? "";
    const reasoning = this.root.querySelector(".hi-reasoning");
    reasoning.hidden = !run.reasoning;
    reasoning.querySelector(".prose").textContent = run.reasoning ?? "";
  }

  drawImage(run) {
    const hash = run.image ?? run.picture?.hash ?? "";
    this.root.querySelector(".hi-figure").hidden = !hash;
    const shown = `${run.id} ${run.state}`;
    if (!hash || this.image.dataset.shown === shown) return;
    this.image.dataset.shown = shown;
    this.image.alt = this.words.picture;
    this.marks.hidden = true;
    this.image.src = `/api/images/${hash}`;
  }

  // How wide the image came out decides how large the marks are drawn.
  drawMarks() {
    const { id } = this;
    clearTimeout(this.drawing);
    this.drawing = setTimeout(() => {
      const width = this.image.clientWidth;
      if (this.id === id && width) this.marks.src = `${runPath(id, "/marks.svg")}?width=${width}`;
    }, REST_MS);
  }

  drawTags(tags) {
    this.tags.replaceChildren(
      ...tags.map((tag) => {
        const item = Object.assign(document.createElement("li"), { className: "tag", textContent: tag });
        const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
        remove.dataset.tag = tag;
        remove.setAttribute("aria-label", say(this.words.remove_tag, { tag }));
        item.append(remove);
        return item;
      }),
    );
  }

  addTag() {
    const tag = this.tag.value.replace(/,/g, " ").trim();
    this.tag.value = "";
    const tags = this.run?.tags ?? [];
    if (tag && this.run && !tags.includes(tag)) this.save({ tags: [...tags, tag] });
  }

  saveNotes() {
    clearTimeout(this.timer);
    if (this.run && this.notes.value !== (this.run.notes ?? "")) this.save({ notes: this.notes.value });
  }

  // The choice is shown at once; if it cannot be kept, the old one comes back with the reason.
  async save(change) {
    const { id, run: before } = this;
    this.run = { ...before, ...change };
    this.draw(this.run);
    try {
      await ask(runPath(id), { method: "PATCH", json: change });
    } catch (error) {
      if (this.id !== id) return;
      this.draw(before);
      this.fail(error.message || this.shell.words.offline_short);
      return;
    }
    this.fail("");
    this.saved();
  }

  // Pin and ratings, by the names of their buttons.
  toggle(name) {
    if (!this.run) return;
    if (name === "pin") this.save({ pinned: !this.run.pinned });
    else {
      const rating = name === "good" ? 1 : -1;
      this.save({ rating: this.run.rating === rating ? 0 : rating });
    }
  }

  fail(text) {
    this.root.querySelector(".hi-peek-error").textContent = text;
  }
}

function put(field, value) {
  if (document.activeElement !== field || field.value === "") field.value = value;
}
