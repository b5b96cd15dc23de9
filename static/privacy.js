// What is kept and where, and the way to delete all of it.
import { ask } from "./api.js";
import { forgetAll } from "./prefs.js";
import { bytes, say } from "./say.js";

export class Privacy {
  constructor(page) {
    this.page = page;
    this.words = page.words.privacy;
    this.dialog = page.root.querySelector("#ds-privacy");
    this.confirm = this.dialog.querySelector(".confirm");
    this.dialog.addEventListener("ds-open", () => this.show());
    this.dialog.querySelector("[data-act='delete-all']").addEventListener("click", () => this.question(true));
    this.dialog.querySelector("[data-act='keep']").addEventListener("click", () => this.question(false));
    this.dialog.querySelector("[data-act='delete-sure']").addEventListener("click", () => this.remove());
  }

  async show() {
    this.question(false, false);
    const place = this.dialog.querySelector("[data-slot='storage']");
    try {
      const stored = await ask("/api/storage");
      place.textContent = say(stored.folder ? this.words.kept : this.words.kept_nowhere, this.described(stored));
    } catch (error) {
      place.textContent = error.message || this.page.words.offline_short;
    }
  }

  described({ runs, images, bytes: size, folder }) {
    return { runs: say(this.words.runs, { n: runs }), images: say(this.words.images, { n: images }), folder, size: bytes(size) };
  }

  question(open, focus = true) {
    this.confirm.hidden = !open;
    const start = this.dialog.querySelector("[data-act='delete-all']");
    start.hidden = open;
    if (focus) (open ? this.confirm.querySelector("[data-act='keep']") : start).focus();
  }

  async remove() {
    try {
      await ask("/api/history", { method: "DELETE", json: { confirm: "delete" } });
    } catch (error) {
      this.page.fail(error);
      return;
    }
    forgetAll();
    this.dialog.close();
    this.page.toast(this.words.deleted);
    this.page.views.tell({ history: { changed: [], cleared: true } });
  }
}
