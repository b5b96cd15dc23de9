// Draws the engine's steps. The colours are custom properties of the view, so that they follow the theme; nothing is
// told by colour alone: lanes are named, bubbles and zombies are hatched, bars are labelled where there is room.
import { DEVICE_PARTS, HOST_PARTS, between, bins, spanOf } from "./pipeline_steps.js";

const COLUMN = 2; // pixels of an overview column
const FINE = 6; // pixels of a step that is drawn by itself
const AXIS = 20;
const CONTROLS = 140; // pixels of the axis under the zoom buttons
const TICKS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const LANES = { device: 0.34, host: 0.24, slot0: 0.16, slot1: 0.16 };
const NAMES = ["decode", "decode-1", "prefill", "prefill-1", "zombie", "bubble", "launch", "mask", "wait", "commit"];
const DIM = 0.28;

function gutter(width) {
  return width < 560 ? 46 : 58;
}

export class Painter {
  constructor(root, canvas, words) {
    Object.assign(this, { root, canvas, words });
    this.context = canvas.getContext("2d");
    this.fresh();
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.fit();
  }

  // The theme has changed.
  fresh() {
    const style = getComputedStyle(this.root);
    const read = (name) => style.getPropertyValue(name).trim();
    this.colours = Object.fromEntries(NAMES.map((name) => [name, read(`--pl-${name}`)]));
    this.ink = read("--pl-ink");
    this.quiet = read("--pl-quiet");
    this.line = read("--pl-line");
    this.lane = read("--pl-lane");
    this.font = style.fontFamily;
    this.hatches = new Map();
  }

  fit() {
    const ratio = devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.left = gutter(this.width);
    this.changed?.();
  }

  clear() {
    this.context.clearRect(0, 0, this.width, this.height);
  }

  get room() {
    return Math.max(1, this.width - this.left);
  }

  text(said, x, y, { colour = this.quiet, size = 11, align = "left", width } = {}) {
    const { context } = this;
    context.font = `${size}px ${this.font}`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillStyle = colour;
    context.fillText(said, x, y, width);
  }

  // A hatch of `colour` on a quiet ground of it.
  hatch(colour) {
    if (!this.hatches.has(colour)) {
      const tile = Object.assign(document.createElement("canvas"), { width: 12, height: 12 });
      const draw = tile.getContext("2d");
      draw.globalAlpha = 0.3;
      draw.fillStyle = colour;
      draw.fillRect(0, 0, 12, 12);
      draw.globalAlpha = 1;
      draw.strokeStyle = colour;
      draw.lineWidth = 3;
      for (const x of [-12, 0, 12]) {
        draw.moveTo(x - 2, 14);
        draw.lineTo(x + 14, -2);
      }
      draw.stroke();
      const pattern = this.context.createPattern(tile, "repeat");
      pattern.setTransform(new DOMMatrix().scale(0.5));
      this.hatches.set(colour, pattern);
    }
    return this.hatches.get(colour);
  }
}

// The last seconds as two bands: how much of every moment the device and the host were busy, and with what.
export class Overview extends Painter {
  draw(all, now, seconds, lens) {
    const { context, left, room } = this;
    const total = seconds * 1000;
    const from = now - total;
    this.from = from;
    this.scale = room / total;
    this.clear();
    const width = this.column(all);
    const first = Math.floor(from / width) * width;
    const count = Math.ceil((now - first) / width);
    const parts = bins(between(all, first, now), first, width, count);
    const high = this.height - AXIS;
    const device = [4, Math.round(high * 0.66)];
    const host = [device[1] + 6, high];
    this.band(device, this.words.lanes.device, DEVICE_PARTS, parts, first, width);
    this.band(host, this.words.lanes.host, HOST_PARTS, parts, first, width);
    for (let second = 0; second <= seconds; second += seconds > 5 ? 2 : 1) {
      const x = left + room - second * 1000 * this.scale;
      context.fillStyle = this.line;
      context.fillRect(Math.round(x) - 1, 4, 1, high - 4);
      const said = second ? this.words.ago.replace("{seconds}", second) : this.words.now;
      if (x - left > 30 || !second) this.text(said, second ? x : x - 2, high + 11, { align: second ? "center" : "right" });
    }
    if (lens) this.mark(lens, high);
  }

  // Milliseconds of a column. Steps that are too short to be seen are drawn several to one, so that a regular pattern
  // of them does not beat with the columns.
  column(all) {
    const finest = COLUMN / this.scale;
    const step = spanOf(all, 40) / 40;
    return step > 0 && step * this.scale < FINE ? Math.max(finest, 4 * step) : finest;
  }

  band([top, bottom], name, names, parts, first, width) {
    const { context, left } = this;
    context.fillStyle = this.lane;
    context.fillRect(left, top, this.room, bottom - top);
    this.text(name, left - 8, (top + bottom) / 2, { align: "right" });
    context.save();
    context.beginPath();
    context.rect(left, top, this.room, bottom - top);
    context.clip();
    const reach = bottom - top;
    const step = width * this.scale;
    const base = new Float32Array(parts[names[0]].length).fill(bottom);
    for (const part of names) {
      context.fillStyle = this.colours[part];
      const values = parts[part];
      for (let i = 0; i < values.length; i += 1) {
        if (values[i] < 0.004) continue;
        const tall = Math.min(values[i], 1) * reach;
        const x = left + (first - this.from) * this.scale + i * step;
        const begin = Math.round(x); // on whole pixels there are no seams
        context.fillRect(begin, base[i] - tall, Math.round(x + step) - begin, tall);
        base[i] -= tall;
      }
    }
    context.restore();
  }

  mark([from, to], high) {
    const { context } = this;
    const x = this.left + (from - this.from) * this.scale;
    const width = Math.max(3, (to - from) * this.scale);
    if (x + width < this.left) return;
    context.strokeStyle = this.ink;
    context.lineWidth = 1.5;
    context.strokeRect(Math.max(x, this.left) + 0.5, 2.5, width, high - 1);
  }

  timeAt(x) {
    return this.from + (x - this.left) / this.scale;
  }
}

// Single steps: the device, the host, and who holds which slot from launch to commit.
export class Lens extends Painter {
  draw(steps, from, span, chosen) {
    const { context } = this;
    Object.assign(this, { steps, from, scale: this.room / span, chosen });
    this.lanes = this.place();
    this.clear();
    for (const [name, [top, high]] of Object.entries(this.lanes)) {
      context.fillStyle = this.lane;
      context.fillRect(this.left, top, this.room, high);
      this.text(this.called(name), this.left - 8, top + high / 2, { align: "right" });
    }
    this.ticks(span);
    context.save();
    context.beginPath();
    context.rect(this.left, 0, this.room, this.height);
    context.clip();
    for (const step of steps) this.step(step);
    if (chosen) this.link(chosen);
    context.restore();
  }

  called(name) {
    const { lanes } = this.words;
    return name.startsWith("slot") ? lanes.slots[Number(name.at(-1))] : lanes[name];
  }

  place() {
    const high = this.height - AXIS - 4;
    const lanes = {};
    let top = 4;
    for (const [name, share] of Object.entries(LANES)) {
      lanes[name] = [Math.round(top), Math.round(high * share)];
      top += high * (share + 0.033);
    }
    return lanes;
  }

  ticks(span) {
    const gap = TICKS.find((each) => each * this.scale >= 64) ?? 10000;
    const [bottom] = [this.height - AXIS];
    for (let at = gap; at < span; at += gap) {
      const x = Math.round(this.left + at * this.scale);
      this.context.fillStyle = this.line;
      this.context.fillRect(x, 4, 1, bottom - 4);
      if (x < this.width - CONTROLS) this.text(`${at} ms`, x, bottom + 11, { align: "center" });
    }
  }

  step(step) {
    const { context } = this;
    context.globalAlpha = this.chosen && this.chosen.index !== step.index ? DIM : 1;
    const colour = this.colours[step.slot ? `${step.kind}-1` : step.kind];
    const rows = step.rows.length;
    this.bar("device", step.device, colour, [`${step.kind} ${step.index} · ${rows}`, `${step.index}`]);
    if (step.zombies) this.zombies(step);
    if (step.idle > 0) this.bar("device", [step.device[0] - step.idle, step.device[0]], this.hatch(this.colours.bubble));
    for (const part of HOST_PARTS) this.bar("host", step[part], this.colours[part], [part]);
    this.bar(`slot${step.slot}`, [step.launch[0], step.commit[1]], colour, [`${step.kind} ${step.index}`, `${step.index}`]);
    context.globalAlpha = 1;
  }

  bar(lane, [begin, end], fill, labels = []) {
    const [top, high] = this.lanes[lane];
    const x = this.left + (begin - this.from) * this.scale;
    const width = (end - begin) * this.scale;
    const { context } = this;
    context.fillStyle = fill;
    if (width < 3) context.fillRect(x, top, Math.max(width, 0.5), high);
    else {
      context.beginPath();
      context.roundRect(x + 0.5, top, width - 1, high, 3);
      context.fill();
    }
    const seen = Math.min(x + width, this.left + this.room) - Math.max(x, this.left);
    const label = labels.find((each) => each.length * 6 + 10 < seen);
    if (label) this.text(label, Math.max(x, this.left) + seen / 2, top + high / 2, { colour: contrast(fill), align: "center" });
  }

  // From the bottom, as much of the bar as rows had ended.
  zombies(step) {
    const [top, high] = this.lanes.device;
    const tall = Math.max(4, (high * step.zombies) / step.rows.length);
    const x = this.left + (step.device[0] - this.from) * this.scale + 0.5;
    const width = Math.max(1, (step.device[1] - step.device[0]) * this.scale - 1);
    const { context } = this;
    context.fillStyle = this.colours.zombie;
    context.fillRect(x, top + high - tall, width, tall);
    context.fillStyle = this.hatch("#000");
    context.globalAlpha *= 0.25;
    context.fillRect(x, top + high - tall, width, tall);
    context.globalAlpha /= 0.25;
  }

  // What belongs together: from the launch to the device, and from the device to the commit.
  link(step) {
    const { context, lanes } = this;
    const at = (time) => this.left + (time - this.from) * this.scale;
    const [deviceTop, deviceHigh] = lanes.device;
    const [hostTop] = lanes.host;
    context.strokeStyle = this.ink;
    context.lineWidth = 1.5;
    context.beginPath();
    for (const [host, device] of [[step.launch[1], step.device[0]], [step.commit[0], step.device[1]]]) {
      context.moveTo(at(host), hostTop);
      context.lineTo(at(device), deviceTop + deviceHigh);
    }
    context.stroke();
    context.strokeRect(at(step.device[0]), deviceTop + 0.75, (step.device[1] - step.device[0]) * this.scale, deviceHigh - 1.5);
  }

  // The step that is drawn at a place; undefined where there is none.
  stepAt(x, y) {
    if (!this.lanes) return undefined;
    const time = this.from + (x - this.left) / this.scale;
    const lane = Object.entries(this.lanes).find(([, [top, high]]) => y >= top && y <= top + high)?.[0];
    const held = (...spans) => spans.some(([begin, end]) => time >= begin && time <= end);
    return this.steps.find((step) => {
      if (lane === "device") return held([step.device[0] - step.idle, step.device[1]]);
      if (lane === "host") return held(...HOST_PARTS.map((part) => step[part]));
      return lane === `slot${step.slot}` && held([step.launch[0], step.commit[1]]);
    });
  }
}

// Black or white, whichever reads better on a colour.
function contrast(fill) {
  const parts = typeof fill === "string" && fill.match(/^#(..)(..)(..)$/);
  if (!parts) return "#000";
  const [r, g, b] = parts.slice(1).map((hex) => parseInt(hex, 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
}
