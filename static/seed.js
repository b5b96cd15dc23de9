// The seed of a run that was opened: the form asks with it for as long as it asks for the same, as a chip shows.
import { say } from "./say.js";

export class RunSeed {
  constructor(root, { words, form }) {
    Object.assign(this, { words, form });
    this.chip = root.querySelector(".run-seed");
    this.ask = null;
    this.chip.querySelector("button").addEventListener("click", () => {
      this.drop();
      form.form.querySelector("[data-act='run']").focus({ preventScroll: true });
    });
    form.form.addEventListener("input", ({ target }) => this.edited(target));
  }

  // Takes over the seed of a run's `ask`. What the form holds of it is to be put in without it.
  take(ask) {
    this.ask = ask.settings?.seed === undefined ? null : ask;
    this.draw();
  }

  drop() {
    this.ask = null;
    this.draw();
  }

  // Other settings leave it; a seed of one's own takes its place.
  edited(target) {
    if (!target.closest(".setting") || target.name === "seed") this.drop();
  }

  // Another model makes it another question.
  model({ id }) {
    if (this.ask?.model && this.ask.model !== id) this.drop();
  }

  draw() {
    this.chip.hidden = this.ask === null;
    if (this.ask) this.chip.querySelector("span").textContent = say(this.words.seed, { seed: String(this.ask.settings.seed) });
  }

  // What it adds to the settings of a request.
  request(settings) {
    return this.ask ? { seed: String(this.ask.settings.seed), ...settings } : settings;
  }
}

// An ask without its seed.
export function seedless(ask) {
  const { seed, ...settings } = ask.settings ?? {};
  return { ...ask, settings };
}
