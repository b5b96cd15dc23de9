// The image with its layer of marks.
import { TYPING } from "./keys.js";
import { Sketch } from "./sketch.js";
import { Zoom } from "./zoom.js";

const VIEW_WIDTH = 1000;
const MANY = 150;

export class Viewer {
  // `takes()`: whether the image takes places to refer to, which a click or a drag then `adds`.
  constructor(root, { takes, adds }) {
    this.root = root;
    this.takes = takes;
    this.many = false;
    this.hand = false;
    this.space = false;
    this.sky = root.querySelector(".sky");
    this.plate = root.querySelector(".plate");
    this.image = this.plate.querySelector("img");
    this.marks = this.plate.querySelector(".marks");
    this.coords = root.querySelector(".coords");
    this.zoom = new Zoom(this.sky, this.plate, {
      output: root.querySelector(".zoom"),
      resized: (width) => this.plate.style.setProperty("--k", VIEW_WIDTH / width),
      grabs: () => this.grabs,
      heavy: () => this.many,
    });
    const moves = (event) => event.pointerType !== "touch" && this.grabs;
    this.sketch = new Sketch(this.sky, this.plate, { takes: () => !this.plate.hidden && takes(), moves, add: adds });
    this.bindSpace();
    this.sky.addEventListener("pointermove", (event) => this.readOut(event));
  }

  // How many marks there are: above a certain number they are drawn without their small motions.
  count(marks) {
    this.many = marks > MANY;
    this.marks.classList.toggle("many", this.many);
  }

  // Shows the picture at `url`, or gives back false if it is not `wanted` any more once it is decoded; rejects when the
  // browser cannot decode it.
  async show(url, alt, wanted = () => true) {
    const probe = new Image();
    probe.src = url;
    await probe.decode();
    if (!wanted()) return false;
    this.image.src = url;
    this.image.alt = alt;
    const { naturalWidth: width, naturalHeight: height } = probe;
    this.marks.setAttribute("viewBox", `0 0 ${VIEW_WIDTH} ${(VIEW_WIDTH * height) / width}`);
    this.root.dataset.phase = "image";
    this.plate.hidden = false;
    this.zoom.setSize(width, height);
    return true;
  }

  clear() {
    this.plate.hidden = true;
    this.image.removeAttribute("src");
    this.root.dataset.phase = "empty";
  }

  // Whether dragging with the first button moves the image.
  get grabs() {
    return this.hand || this.space || !this.takes();
  }

  toggleHand() {
    this.hand = !this.hand;
    this.root.querySelector("[data-act='hand']")?.setAttribute("aria-pressed", String(this.hand));
    this.refresh();
  }

  // The pointer's look, after the hand was taken or the skill changed.
  refresh() {
    this.sky.classList.toggle("placing", !this.grabs);
  }

  // Space held with the pointer over the image moves it: where the pointer has spoken since the focus last went
  // elsewhere, so that Space still presses the button that the keyboard is at.
  bindSpace() {
    const hold = (held) => {
      this.space = held;
      this.refresh();
    };
    let near = false;
    this.sky.addEventListener("pointermove", () => (near = true));
    this.sky.addEventListener("pointerleave", () => (near = false));
    document.addEventListener("focusin", () => (near = false));
    document.addEventListener("keydown", (event) => {
      if (event.key !== " " || !near || event.target.matches?.(TYPING)) return;
      event.preventDefault();
      if (!this.space) hold(true);
    });
    document.addEventListener("keyup", (event) => {
      if (event.key !== " " || !this.space) return;
      event.preventDefault(); // or the button in focus would be pressed
      hold(false);
    });
    window.addEventListener("blur", () => this.space && hold(false));
  }

  toggleMarks() {
    const hidden = this.marks.classList.toggle("off");
    this.root.querySelector("[data-act='marks']")?.setAttribute("aria-pressed", String(!hidden));
  }

  // The image and its tools take the whole screen, and give it back.
  toggleFull() {
    if (document.fullscreenElement) document.exitFullscreen();
    else (this.sky.closest(".stage") ?? this.sky).requestFullscreen?.();
  }

  get shown() {
    return !this.plate.hidden;
  }

  readOut(event) {
    const area = this.plate.getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width;
    const y = (event.clientY - area.top) / area.height;
    const inside = !this.plate.hidden && x >= 0 && x <= 1 && y >= 0 && y <= 1;
    if (this.coords) this.coords.textContent = inside ? `x ${x.toFixed(3)}  y ${y.toFixed(3)}` : "";
  }
}
