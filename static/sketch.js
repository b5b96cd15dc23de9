// Pointing at the image: a click is a point, a drag a box. Marks keep their clicks, but not those on their wide
// insides; fingers keep their drags, which move the image or scroll the page.
const DRAG_THRESHOLD = 5;
const INSIDES = ".fill, .mask-fill, .gaze-source";

export class Sketch {
  // `takes()`: whether places are wanted now. `moves(event)`: whether the image is moved instead.
  constructor(sky, plate, { takes, moves, add }) {
    Object.assign(this, { sky, plate, takes, moves, add });
    this.start = null;
    this.took = false;
    this.band = Object.assign(document.createElement("div"), { className: "ref-band", hidden: true });
    plate.append(this.band);
    sky.addEventListener("pointerdown", (event) => this.down(event));
    sky.addEventListener("pointermove", (event) => this.move(event));
    sky.addEventListener("pointerup", (event) => this.up(event));
    sky.addEventListener("pointercancel", () => this.drop());
    sky.addEventListener("keydown", (event) => event.key === "Escape" && this.drop());
    // The click that follows has done its work.
    sky.addEventListener("click", (event) => this.took && event.stopPropagation(), { capture: true });
  }

  down(event) {
    this.took = false;
    const alone = event.isPrimary && event.button === 0;
    if (this.start) this.drop(); // a second finger
    if (!alone || !this.takes() || this.moves(event) || event.target.closest("button, .ref")) return;
    const at = this.fraction(event);
    if (at.some((value) => value < 0 || value > 1)) return;
    const onMark = event.target.closest(".mark") !== null && !event.target.closest(INSIDES);
    this.start = { at, onMark, client: [event.clientX, event.clientY], draws: event.pointerType !== "touch" };
  }

  move(event) {
    if (!this.start || !event.isPrimary) return;
    const [x, y] = this.start.client;
    if (this.band.hidden && Math.hypot(event.clientX - x, event.clientY - y) <= DRAG_THRESHOLD) return;
    if (!this.start.draws) {
      this.drop();
      return;
    }
    if (this.band.hidden) this.sky.setPointerCapture(event.pointerId);
    const [left, top, right, bottom] = this.box(event);
    const sides = { left, top, width: right - left, height: bottom - top };
    for (const [side, value] of Object.entries(sides)) this.band.style[side] = `${value * 100}%`;
    this.band.hidden = false;
  }

  up(event) {
    if (!this.start || !event.isPrimary) return;
    const { at, onMark } = this.start;
    const box = this.band.hidden ? null : this.box(event);
    this.drop();
    if (!box && onMark) return;
    this.took = true;
    if (box) this.add("box", box);
    else this.add("point", at);
  }

  drop() {
    this.start = null;
    this.band.hidden = true;
  }

  fraction(event) {
    const area = this.plate.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  }

  // From where the drag began to where the pointer is, inside the image.
  box(event) {
    const [x, y] = this.start.at;
    const [x2, y2] = this.fraction(event).map((value) => Math.min(1, Math.max(0, value)));
    return [Math.min(x, x2), Math.min(y, y2), Math.max(x, x2), Math.max(y, y2)];
  }
}
