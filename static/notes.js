// What people add to a run: a title, tags, notes. Saved when a field is left.
import { ask } from "./api.js";

export class Notes {
  constructor(root, { shell, told }) {
    Object.assign(this, { root, shell, told });
    this.fields = Object.fromEntries([...root.querySelectorAll("[data-note]")].map((field) => [field.dataset.note, field]));
    this.said = root.querySelector("[data-slot='note-said']");
    this.code = root.querySelector(".run-id code");
    const copy = root.querySelector("[data-act='copy-id']");
    copy.addEventListener("click", () => shell.copy(this.id, copy));
    root.addEventListener("change", (event) => this.save(event.target));
    root.addEventListener("input", () => (this.said.textContent = ""));
  }

  // Puts in what the history knows, and returns it; null if it does not know the run.
  async show(id) {
    this.id = id;
    this.code.textContent = id;
    let record;
    try {
      record = await ask(`/api/runs/${encodeURIComponent(id)}`);
    } catch (error) {
      if (error.status === undefined) throw error;
      return null;
    }
    if (this.id !== id) return record;
    this.put("title", record.title);
    this.put("tags", record.tags.join(", "));
    this.put("notes", record.notes);
    this.told(record);
    return record;
  }

  // Not while somebody types there.
  put(name, value) {
    if (this.fields[name] !== document.activeElement) this.fields[name].value = value;
  }

  async save(field) {
    const { note } = field.dataset;
    const { id } = this;
    const tags = (text) => [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))];
    const value = note === "tags" ? tags(field.value) : field.value;
    try {
      await ask(`/api/runs/${encodeURIComponent(id)}`, { method: "PATCH", json: { [note]: value } });
      if (this.id === id) this.said.textContent = this.shell.words.saved;
    } catch (error) {
      if (error.status === undefined) throw error;
      this.shell.fail(error);
    }
  }
}
