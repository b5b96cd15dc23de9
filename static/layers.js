// How evidence is shown: opacity of masks, width of lines, size of labels, uncertainty, probabilities of tokens, raw
// text. Remembered, and the same in every column of the page.
import { recall, remember } from "./prefs.js";
import { raw } from "./raw.js";

const KEY = "layers";
const DEFAULTS = { opacity: 35, line: 100, label: 100, spread: true, probs: false };
const LOOKS = { opacity: "--mask-opacity", line: "--line", label: "--label" };

export class Layers {
  constructor(root) {
    this.root = root;
    this.page = root.closest(".ds");
    this.shown = recall(KEY, DEFAULTS);
    this.sliders = [...root.querySelectorAll("[data-look]")];
    for (const slider of this.sliders) {
      slider.addEventListener("input", () => this.set({ [slider.dataset.look]: Number(slider.value) }));
    }
    root.addEventListener("click", (event) => {
      const button = event.target.closest(".raw-toggle");
      if (button) raw(button);
    });
    this.draw();
  }

  toggle(name) {
    this.set({ [name]: !this.shown[name] });
  }

  reset() {
    this.set({ opacity: DEFAULTS.opacity, line: DEFAULTS.line, label: DEFAULTS.label });
  }

  set(change) {
    Object.assign(this.shown, change);
    remember(KEY, this.shown);
    this.draw();
  }

  draw() {
    const { spread, probs } = this.shown;
    for (const [name, property] of Object.entries(LOOKS)) this.page.style.setProperty(property, String(this.shown[name] / 100));
    for (const slider of this.sliders) slider.value = this.shown[slider.dataset.look];
    this.root.querySelector(".marks").dataset.spread = spread ? "on" : "off";
    this.root.querySelector(".panel").dataset.probs = probs ? "on" : "off";
    for (const name of ["spread", "probs"]) {
      this.root.querySelector(`[data-act="${name}"]`).setAttribute("aria-pressed", String(this.shown[name]));
    }
  }
}
