// With very many marks, dimming each one that is not lit costs a layer per mark. Then the whole drawing is dimmed at
// once, and copies of what is lit lie above it.
const SVG = "http://www.w3.org/2000/svg";

export class Spotlight {
  constructor(marks) {
    this.marks = marks;
    this.layer = document.createElementNS(SVG, "svg");
    this.layer.classList.add("spotlight");
    this.layer.setAttribute("aria-hidden", "true");
    marks.after(this.layer);
  }

  // Whether there are so many.
  show(lit) {
    const many = this.marks.classList.contains("many");
    const shown = many ? [...lit].filter((element) => element.classList.contains("mark")) : [];
    if (!shown.length && !this.layer.hasChildNodes()) return many;
    this.layer.setAttribute("viewBox", this.marks.getAttribute("viewBox"));
    this.layer.replaceChildren(...shown.map(copied));
    return many;
  }
}

function copied(mark) {
  const copy = mark.cloneNode(true);
  copy.classList.remove("enter");
  copy.removeAttribute("data-key");
  return copy;
}
