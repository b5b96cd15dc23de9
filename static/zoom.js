// Fit, zoom and pan. The plate is laid out at its real size, so that lines stay sharp and keep their width.
// The middle button and fingers always move the image; the first button does where `grabs(event)` is true.
// With very many marks (`heavy()`) a gesture scales the picture as it is, and lays it out anew once it rests.
//
// `onChange({scale, center})` is told of every move by hand, and `set` takes it, so that several can be linked.
const MAX_SCALE = 12;
const PADDING = 16;
const DRAG_THRESHOLD = 4;
const REST_MS = 220;

export class Zoom {
  constructor(sky, plate, { output, resized, grabs, heavy = () => false }) {
    Object.assign(this, { sky, plate, output, resized, grabs, heavy });
    this.onChange = () => {};
    this.size = null;
    this.scale = 1;
    this.center = [0.5, 0.5];
    this.pointers = new Map();
    sky.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    sky.addEventListener("pointerdown", (event) => this.down(event));
    sky.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) sky.addEventListener(name, (event) => this.up(event));
    sky.addEventListener("mousedown", (event) => event.button === 1 && event.preventDefault()); // it would scroll
    sky.addEventListener("dblclick", (event) => this.twice(event));
    new ResizeObserver(() => this.layout()).observe(sky);
  }

  setSize(width, height) {
    this.size = [width, height];
    this.set({ scale: 1, center: [0.5, 0.5] });
  }

  fit() {
    this.set({ scale: 1, center: [0.5, 0.5] });
    this.tell();
  }

  // Takes over the view of another one; `onChange` is not told.
  set({ scale, center }) {
    this.scale = Math.min(MAX_SCALE, Math.max(1, scale));
    this.center = [...center];
    this.layout();
  }

  tell() {
    this.onChange({ scale: this.scale, center: [...this.center] });
  }

  // Zooms about the point of the sky that is given in client coordinates, or about its middle.
  by(factor, at, gesture = false) {
    if (!this.size) return;
    const sky = this.sky.getBoundingClientRect();
    const [x, y] = at ?? [sky.left + sky.width / 2, sky.top + sky.height / 2];
    const plate = this.plate.getBoundingClientRect();
    const spot = [(x - plate.left) / plate.width, (y - plate.top) / plate.height];
    const scale = Math.min(MAX_SCALE, Math.max(1, this.scale * factor));
    const kept = this.scale / scale;
    this.center = this.center.map((c, i) => spot[i] + (c - spot[i]) * kept);
    this.scale = scale;
    this.layout(gesture && this.heavy());
    this.tell();
  }

  pan(dx, dy) {
    const plate = this.plate.getBoundingClientRect();
    this.center = [this.center[0] - dx / plate.width, this.center[1] - dy / plate.height];
    this.layout(this.heavy());
    this.tell();
  }

  // `passing`: the gesture goes on, so the picture is only scaled.
  layout(passing = false) {
    const { clientWidth, clientHeight } = this.sky;
    if (!this.size || !clientWidth || !clientHeight) return;
    const [width, height] = this.size;
    const fit = Math.min((clientWidth - 2 * PADDING) / width, (clientHeight - 2 * PADDING) / height);
    const shown = [width * fit * this.scale, height * fit * this.scale];
    const room = [clientWidth, clientHeight];
    this.center = this.center.map((c, i) => {
      const half = Math.min(0.5, room[i] / (2 * shown[i]));
      return Math.min(1 - half, Math.max(half, c));
    });
    const left = room[0] / 2 - this.center[0] * shown[0];
    const top = room[1] / 2 - this.center[1] * shown[1];
    clearTimeout(this.resting);
    if (passing && this.laid) {
      const { style } = this.plate;
      const by = shown[0] / this.laid;
      style.willChange = "transform";
      style.transform = `translate(${left}px,${top}px) scale(${by})`;
      this.resting = setTimeout(() => (by === 1 ? (style.willChange = "") : this.layout()), REST_MS);
    } else {
      const { style } = this.plate;
      [style.width, style.height] = shown.map((side) => `${side}px`);
      style.transform = `translate(${left}px,${top}px)`;
      style.willChange = "";
      this.laid = shown[0];
      this.resized(shown[0]);
    }
    this.sky.style.touchAction = this.scale > 1 ? "none" : "pan-y";
    if (this.output) this.output.textContent = `${Math.round(this.scale * 100)}%`;
    this.width = shown[0];
  }

  wheel(event) {
    if (!this.size || matchMedia("(max-width: 859px)").matches) return;
    event.preventDefault();
    const step = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 16 : event.deltaY;
    this.by(Math.exp(-step * (event.ctrlKey ? 0.01 : 0.002)), [event.clientX, event.clientY], true);
  }

  down(event) {
    if (!this.size || event.target.closest("button") || !this.moves(event)) return;
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    this.moved = 0;
  }

  moves(event) {
    if (event.button === 1 || event.pointerType === "touch") return true;
    return event.button === 0 && this.grabs(event);
  }

  // The middle of what is seen, in fractions of the image.
  get middle() {
    return this.center.map((value) => Math.min(1, Math.max(0, value)));
  }

  move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
      this.by(distance(now, other) / Math.max(1, distance(last, other)), middle, true);
      this.pointers.set(event.pointerId, now);
      return;
    }
    this.moved += distance(now, last);
    if (this.moved > DRAG_THRESHOLD && this.scale > 1) {
      this.sky.setPointerCapture(event.pointerId);
      this.sky.classList.add("panning");
      this.pan(now[0] - last[0], now[1] - last[1]);
    }
    this.pointers.set(event.pointerId, now);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.sky.classList.remove("panning");
  }

  twice(event) {
    if (event.target.closest("button, .mark") || !this.grabs(event)) return;
    if (this.scale > 1) this.fit();
    else this.by(2.5, [event.clientX, event.clientY]);
  }
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}
