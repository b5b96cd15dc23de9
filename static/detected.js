// The boxes of detect that the audit of a run compares with: dashed, over its image, with a legend of their own.
const SVG = "http://www.w3.org/2000/svg";

export class Detected {
  constructor(root, viewer) {
    this.marks = viewer.marks;
    this.legend = root.querySelector(".detected-legend");
    this.layer = document.createElementNS(SVG, "svg");
    this.layer.classList.add("detected-layer");
    this.layer.setAttribute("aria-hidden", "true"); // the legend and the audit say it in words
    this.marks.after(this.layer);
    this.legend.addEventListener("click", (event) => {
      const chip = event.target.closest("[data-noun]");
      if (chip) this.set(chip, chip.getAttribute("aria-pressed") !== "true");
    });
    this.show({ layer: "", legend: "" });
  }

  // Found for another reason than this audit they are not drawn until they are asked for.
  show({ layer, legend }, drawn = true) {
    this.layer.setAttribute("viewBox", this.marks.getAttribute("viewBox"));
    this.layer.innerHTML = layer;
    this.legend.innerHTML = legend;
    this.legend.hidden = !legend;
    for (const chip of this.chips) this.set(chip, drawn);
  }

  get chips() {
    return this.legend.querySelectorAll("[data-noun]");
  }

  set(chip, drawn) {
    chip.setAttribute("aria-pressed", String(drawn));
    this.layer.querySelector(`[data-noun="${CSS.escape(chip.dataset.noun)}"]`).classList.toggle("off", !drawn);
  }
}
