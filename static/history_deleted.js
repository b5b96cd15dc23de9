// What was deleted a short while ago: a line each in the foot of the history, with the way back, until it is too late.
import { ask } from "./api.js";
import { clock, say } from "./say.js";

export class Deleted {
  // `restored()` is told after runs came back.
  constructor(root, { words, shell, restored }) {
    Object.assign(this, { words, shell, restored });
    this.list = root.querySelector(".hi-deleted");
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do='restore']");
      if (button) this.restore(button);
    });
  }

  async refresh() {
    let found;
    try {
      found = await ask("/api/deletions");
    } catch (error) {
      if (error.status === undefined) throw error;
      return; // said where the runs would be
    }
    this.list.innerHTML = found.html;
    for (const time of this.list.querySelectorAll("time")) time.textContent = clock(new Date(time.dateTime));
    clearTimeout(this.timer);
    const next = Math.min(...found.deletions.map(({ until }) => Date.parse(until)));
    if (Number.isFinite(next)) this.timer = setTimeout(() => this.refresh(), Math.max(1000, next - Date.now()));
  }

  async restore(button) {
    button.disabled = true;
    try {
      const { restored } = await ask("/api/undo", { method: "POST", json: { token: button.closest("li").dataset.token } });
      this.shell.toast(say(this.words.restored, { n: restored }));
      this.restored();
    } catch (error) {
      if (error.status === undefined) throw error;
      this.shell.fail(error);
    }
    this.refresh();
  }
}
