// The slider between the original and the image with its marks.
export class Wipe {
  constructor(root) {
    this.root = root;
    this.box = root.querySelector(".wipe");
    this.range = root.querySelector(".wipe-range");
    this.marks = root.querySelector(".marks");
    this.range.addEventListener("input", () => this.draw());
    this.range.addEventListener("pointerdown", (event) => event.stopPropagation());
  }

  toggle() {
    this.box.hidden = !this.box.hidden;
    this.root.querySelector("[data-act='wipe']").setAttribute("aria-pressed", String(!this.box.hidden));
    this.draw();
    if (!this.box.hidden) this.range.focus({ preventScroll: true });
  }

  draw() {
    const on = !this.box.hidden;
    this.marks.classList.toggle("wiped", on);
    this.root.querySelector(".plate").style.setProperty("--wipe", on ? this.range.value / 1000 : 1);
  }
}
