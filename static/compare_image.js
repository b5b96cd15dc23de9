// The one image of a comparison: chosen, dropped, pasted or an example; stored by the server, which names it.
import { ask } from "./api.js";

// In the place of a hash: something is asked without an image.
export const NO_IMAGE = "none";

export class CompareImage {
  // `shown(url, alt)` puts it into the columns, no url takes it out; it rejects if the browser cannot decode it; `fail(text)` says why
  // there is none; `changed()` is told once the server has it, `asks(skill, question)` what a scene
  // suggests, and gives back what puts it into the form, if it may be. `active()`: whether drops and pastes are meant here.
  constructor(root, { words, shell, active, shown, fail, changed, asks }) {
    Object.assign(this, { root, words, shell, active, shown, fail, changed, asks });
    this.hash = null; // of the image, or NO_IMAGE
    this.turn = 0;
    this.storing = null;
    this.file = root.querySelector("#cmp-file");
    this.file.addEventListener("change", () => {
      this.open(this.file.files[0]);
      this.file.value = "";
    });
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-scene]");
      if (button) this.example(button.dataset, button.getAttribute("aria-label"));
    });
    this.bindDrop();
    window.addEventListener("paste", (event) => this.paste(event), true);
  }

  bindDrop() {
    const carries = (event) => this.active() && [...(event.dataTransfer?.types ?? [])].includes("Files");
    const take = (event, on) => {
      if (!carries(event)) return false;
      event.preventDefault();
      event.stopPropagation();
      this.root.classList.toggle("dropping", on);
      return true;
    };
    for (const name of ["dragenter", "dragover"]) window.addEventListener(name, (event) => take(event, true), true);
    window.addEventListener("dragleave", (event) => !event.relatedTarget && this.root.classList.remove("dropping"), true);
    window.addEventListener("drop", (event) => take(event, false) && this.open(event.dataTransfer.files[0]), true);
  }

  paste(event) {
    const [file] = event.clipboardData?.files ?? [];
    if (!file || !this.active()) return;
    event.preventDefault();
    event.stopPropagation();
    this.open(file);
  }

  // A card of the welcome also brings its question.
  async example({ scene, skill, question }, alt) {
    const turn = ++this.turn;
    const suggest = skill && this.asks(skill, question);
    const answer = await fetch(`/example/${encodeURIComponent(scene)}`);
    if (turn !== this.turn) return;
    if (!answer.ok) {
      this.fail(this.words.no_example);
      return;
    }
    await this.open(await answer.blob(), alt, scene, suggest);
  }

  async open(blob, alt = blob?.name, scene = null, then = null) {
    if (!blob) return;
    this.fail("");
    if (blob.size > this.words.limit) {
      this.fail(this.words.too_big);
      return;
    }
    const turn = ++this.turn;
    const url = URL.createObjectURL(blob);
    try {
      await this.shown(url, alt);
    } catch {
      URL.revokeObjectURL(url);
      this.fail(this.words.unreadable);
      return;
    }
    this.mark(scene);
    then?.();
    this.hash = null;
    this.storing = this.keep(blob, turn);
    await this.storing;
  }

  async keep(blob, turn) {
    try {
      const { hash } = await ask("/api/images", { method: "POST", body: blob });
      if (turn !== this.turn) return;
      this.hash = hash;
    } catch (error) {
      if (turn === this.turn) this.fail(error.message || this.shell.words.offline_short);
      return;
    }
    this.changed();
  }

  // An image that the server has already.
  async use(hash, alt = "") {
    if (!hash || hash === this.hash) return;
    this.turn += 1;
    this.mark(null);
    try {
      await this.shown(hash === NO_IMAGE ? null : `/api/images/${encodeURIComponent(hash)}`, alt);
    } catch {
      this.fail(this.words.unreadable);
      return;
    }
    this.fail("");
    this.hash = hash;
  }

  mark(scene) {
    for (const thumb of this.root.querySelectorAll(".cmp-intake .thumb")) {
      thumb.setAttribute("aria-current", String(thumb.dataset.scene === scene));
    }
  }
}
