// How evidence is shown: opacity of the mask, uncertainty, probabilities of tokens, raw text. Remembered.
const KEY = "dreamscope-layers";
const DEFAULTS = { opacity: 35, spread: true, probs: false };

export class Layers {
  constructor(root) {
    this.root = root;
    this.marks = root.querySelector(".marks");
    this.slider = root.querySelector("#ds-opacity");
    this.shown = { ...DEFAULTS, ...read() };
    this.slider.value = this.shown.opacity;
    this.slider.addEventListener("input", () => this.set({ opacity: Number(this.slider.value) }));
    root.addEventListener("click", (event) => {
      const button = event.target.closest(".raw-toggle");
      if (button) raw(button);
    });
    this.draw();
  }

  toggle(name) {
    this.set({ [name]: !this.shown[name] });
  }

  set(change) {
    Object.assign(this.shown, change);
    localStorage.setItem(KEY, JSON.stringify(this.shown));
    this.draw();
  }

  draw() {
    const { opacity, spread, probs } = this.shown;
    this.marks.style.setProperty("--mask-opacity", String(opacity / 100));
    this.marks.dataset.spread = spread ? "on" : "off";
    this.root.querySelector(".panel").dataset.probs = probs ? "on" : "off";
    for (const name of ["spread", "probs"]) {
      this.root.querySelector(`[data-act="${name}"]`).setAttribute("aria-pressed", String(this.shown[name]));
    }
  }
}

// Shows the text as the model wrote it, or the view of it.
function raw(button) {
  const shows = button.getAttribute("aria-pressed") !== "true";
  const answer = button.closest(".structured");
  button.setAttribute("aria-pressed", String(shows));
  answer.querySelector(".raw").hidden = !shows;
  answer.querySelector(".structured-view").hidden = shows;
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}
