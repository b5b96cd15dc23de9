// How much is kept and where, runs brought in from files, and deleting everything.
import { ask } from "./api.js";
import { bytes, say } from "./say.js";

export class Storage {
  constructor(root, { words, shell, changed }) {
    Object.assign(this, { root, words, shell, changed });
    this.file = root.querySelector("#hi-import");
    this.dialog = root.querySelector(".hi-clear-all");
    this.runs = 0;
    this.file.addEventListener("change", () => {
      this.take([...this.file.files]);
      this.file.value = "";
    });
    root.addEventListener("click", (event) => {
      const act = event.target.closest("[data-do]")?.dataset.do;
      if (act === "import") this.file.click();
      else if (act === "ask-clear") this.open();
      else if (act === "cancel-clear") this.dialog.close();
    });
    this.bindDrop();
    this.bindDialog();
  }

  async refresh() {
    let found = null;
    try {
      found = await ask("/api/storage");
    } catch (error) {
      this.root.querySelector(".hi-storage").textContent = error.message || this.shell.words.offline_short;
    }
    if (found) this.draw(found);
  }

  draw({ runs, bytes: size, folder, limit }) {
    this.runs = runs;
    const { words } = this;
    const counted = say(words.count, { n: runs });
    const kept = folder ? say(words.storage, { runs: counted, bytes: bytes(size), folder }) : words.storage_none;
    const line = this.root.querySelector(".hi-storage");
    line.textContent = kept;
    line.title = folder && limit ? say(words.storage_limit, { limit }) : "";
    this.root.querySelector("[data-do='ask-clear']").hidden = runs === 0;
  }

  // Files of this view do not reach the playground, which would take them for images.
  bindDrop() {
    const { root } = this;
    const carries = (event) => !root.hidden && [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      event.stopPropagation();
      root.classList.add("dropping");
    };
    window.addEventListener("dragenter", over, true);
    window.addEventListener("dragover", over, true);
    window.addEventListener("dragleave", (event) => !event.relatedTarget && root.classList.remove("dropping"), true);
    const drop = (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      event.stopPropagation();
      root.classList.remove("dropping");
      this.take([...event.dataTransfer.files]);
    };
    window.addEventListener("drop", drop, true);
  }

  // One that does not fit is named; the others come in.
  async take(files) {
    let n = 0;
    for (const file of files) {
      try {
        await ask("/api/import", { method: "POST", body: file });
        n += 1;
      } catch (error) {
        this.shell.toast(`${file.name}: ${error.message || this.shell.words.offline_short}`, { kind: "error" });
      }
    }
    if (!n) return;
    this.shell.toast(say(this.words.imported, { n }));
    this.changed();
    this.refresh();
  }

  bindDialog() {
    const [form, field] = [this.dialog.querySelector("form"), this.dialog.querySelector("input")];
    const sure = () => field.value.trim().toLowerCase() === "delete";
    field.addEventListener("input", () => (form.querySelector("[type='submit']").disabled = !sure()));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (sure()) this.clear();
    });
  }

  open() {
    const said = say(this.words.clear_said, { runs: say(this.words.count, { n: this.runs }) });
    this.dialog.querySelector(".hi-clear-said").textContent = said;
    this.dialog.querySelector("input").value = "";
    this.dialog.querySelector("[type='submit']").disabled = true;
    this.fail("");
    this.dialog.showModal();
  }

  async clear() {
    try {
      await ask("/api/history", { method: "DELETE", json: { confirm: "delete" } });
    } catch (error) {
      this.fail(error.message || this.shell.words.offline_short);
      return;
    }
    this.dialog.close();
    this.shell.toast(this.words.cleared);
    this.changed();
    this.refresh();
  }

  fail(text) {
    this.dialog.querySelector(".field-error").textContent = text;
  }
}
