// The image with its layer of marks.
import { Zoom } from "./zoom.js";

const VIEW_WIDTH = 1000;

export class Viewer {
  constructor(root) {
    this.root = root;
    this.sky = root.querySelector(".sky");
    this.plate = root.querySelector(".plate");
    this.image = this.plate.querySelector("img");
    this.marks = this.plate.querySelector(".marks");
    this.coords = root.querySelector(".coords");
    this.zoom = new Zoom(this.sky, this.plate, {
      output: root.querySelector(".zoom"),
      resized: (width) => this.marks.style.setProperty("--k", VIEW_WIDTH / width),
    });
    this.sky.addEventListener("pointermove", (event) => this.readOut(event));
  }

  // Shows the picture at `url`; rejects when the browser cannot decode it.
  async show(url, alt) {
    const probe = new Image();
    probe.src = url;
    await probe.decode();
    this.image.src = url;
    this.image.alt = alt;
    const { naturalWidth: width, naturalHeight: height } = probe;
    this.marks.setAttribute("viewBox", `0 0 ${VIEW_WIDTH} ${(VIEW_WIDTH * height) / width}`);
    this.root.dataset.phase = "image";
    this.plate.hidden = false;
    this.zoom.setSize(width, height);
  }

  clear() {
    this.plate.hidden = true;
    this.image.removeAttribute("src");
    this.root.dataset.phase = "empty";
  }

  toggleMarks() {
    const hidden = this.marks.classList.toggle("off");
    this.root.querySelector("[data-act='marks']").setAttribute("aria-pressed", String(!hidden));
  }

  readOut(event) {
    const area = this.plate.getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width;
    const y = (event.clientY - area.top) / area.height;
    const inside = !this.plate.hidden && x >= 0 && x <= 1 && y >= 0 && y <= 1;
    this.coords.textContent = inside ? `x ${x.toFixed(3)}  y ${y.toFixed(3)}` : "";
  }
}
