// The timeline: an overview that runs with the clock, and below it a close-up of single steps. The close-up is taken
// anew now and then, from the beginning of a step on, so that it can be read; it holds still under the pointer.
// Paused, both hold still and can be searched.
import { Lens, Overview } from "./pipeline_paint.js";
import { Steps, between, spanOf, started } from "./pipeline_steps.js";

const FRAME_MS = 33;
const CALM_MS = 500; // with reduced motion
const LENS_MS = 700;
const SEEN = 9; // steps in the close-up
const SPANS = [1, 60000];
const MARGIN = 0.02;

export class Timeline {
  constructor(root, { words, chosen, held }) {
    Object.assign(this, { root, words, told: chosen, held });
    this.steps = new Steps();
    this.box = root.querySelector(".pl-lens");
    this.overview = new Overview(root, root.querySelector("[data-canvas='overview']"), words);
    this.lens = new Lens(root, root.querySelector("[data-canvas='lens']"), words);
    this.span = root.querySelector("[data-slot='span']");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.seconds = 2;
    this.paused = null; // the moment at which it was
    this.close = null; // the close-up: {from, span, steps}
    this.wanted = null; // the span that the person chose
    this.chosen = null;
    this.running = false;
    this.drawn = this.taken = -Infinity;
    this.overview.changed = this.lens.changed = () => this.soon();
    this.bind();
  }

  clear() {
    this.steps = new Steps();
    this.close = null;
    this.span.textContent = "";
    this.choose(null);
    this.go();
    this.soon();
  }

  take(trace) {
    this.steps.take(trace, performance.now());
  }

  get all() {
    return this.kept ?? this.steps.all;
  }

  get now() {
    return this.paused ?? this.steps.now(performance.now());
  }

  // Whether the overview shows anything.
  get seen() {
    return between(this.all, this.now - this.seconds * 1000, this.now).length > 0;
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.soon();
    requestAnimationFrame((at) => this.frame(at));
  }

  stop() {
    this.running = false;
  }

  // The next frame draws.
  soon() {
    this.drawn = -Infinity;
  }

  fresh() {
    this.overview.fresh();
    this.lens.fresh();
    this.soon();
  }

  frame(at) {
    if (!this.running) return;
    requestAnimationFrame((next) => this.frame(next));
    const wait = this.calm.matches ? CALM_MS : FRAME_MS;
    if (at - this.drawn < wait - 4 || (this.paused !== null && this.drawn > 0)) return;
    this.drawn = at;
    if (at - this.taken >= LENS_MS && this.paused === null && !this.pointed) this.refresh(at);
    const { close } = this;
    this.overview.draw(this.all, this.now, this.seconds, close && [close.from, close.from + close.span]);
    if (close) this.lens.draw(close.steps, close.from, close.span, this.chosen);
    else this.lens.draw([], 0, 100, null);
  }

  // The latest steps, whole, from the beginning of one.
  refresh(at) {
    const { all } = this.steps;
    const about = this.wanted ?? spanOf(all, SEEN);
    const same = this.close && this.close.last === all.at(-1)?.index;
    if (!about || (same && (!this.wanted || this.close.span === about))) return;
    this.taken = at;
    const end = all.at(-1).commit[1];
    const first = all.find((step) => started(step) >= end - about) ?? all.at(-1);
    const span = this.wanted ?? (end - started(first)) * (1 + 2 * MARGIN);
    this.focus(end + span * MARGIN - span, span);
  }

  focus(from, span) {
    this.close = { from, span, steps: between(this.all, from, from + span), last: this.all.at(-1)?.index };
    this.span.textContent = `${span < 10 ? span.toFixed(1) : Math.round(span)} ms`;
    this.soon();
  }

  // -------------------------------------------------------------------------------- holding, choosing

  pause() {
    if (this.paused !== null) return;
    this.paused = this.now;
    this.kept = this.steps.all.slice();
    this.held(true);
    this.soon();
  }

  go() {
    if (this.paused === null) return;
    this.paused = this.kept = null;
    this.taken = -Infinity;
    this.choose(null);
    this.held(false);
    this.soon();
  }

  toggle() {
    if (this.paused === null) this.pause();
    else this.go();
  }

  choose(step, options) {
    if (step === this.chosen) return;
    this.chosen = step;
    this.told(step, options);
    this.soon();
  }

  // By keys: the step before or after, the first or the last of those that are kept.
  step(by) {
    this.pause();
    const { all } = this;
    if (!all.length) return;
    const near = this.close ? this.close.from + this.close.span / 2 : this.now;
    const at = this.chosen ? all.indexOf(this.chosen) : all.findIndex((step) => step.commit[1] >= near) - by;
    const to = all[Math.min(all.length - 1, Math.max(0, at + by))];
    const { from, span } = this.close ?? { from: -Infinity, span: spanOf(all, SEEN) ?? 100 };
    if (started(to) < from || to.commit[1] > from + span) this.focus((started(to) + to.commit[1] - span) / 2, span);
    this.choose(to, { spoken: true });
  }

  zoom(factor, middle = 0.5) {
    if (!this.close) return;
    const { from, span } = this.close;
    const next = Math.min(SPANS[1], Math.max(SPANS[0], span * factor));
    this.wanted = next;
    this.focus(from + (span - next) * middle, next);
  }

  // -------------------------------------------------------------------------------- pointer and keys

  bind() {
    const { box } = this;
    box.addEventListener("pointermove", (event) => this.move(event));
    box.addEventListener("pointerleave", () => this.leave());
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointerup", (event) => this.up(event));
    box.addEventListener("pointercancel", () => (this.drag = null));
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("keydown", (event) => this.key(event));
    this.overview.canvas.addEventListener("pointerdown", (event) => this.seek(event));
    this.overview.canvas.addEventListener("pointermove", (event) => event.buttons && this.seek(event));
  }

  place(event) {
    const { x, y } = this.lens.canvas.getBoundingClientRect();
    return [event.clientX - x, event.clientY - y];
  }

  move(event) {
    if (event.target.closest(".pl-zoom")) return;
    this.pointed = event.pointerType === "mouse";
    const [x, y] = this.place(event);
    if (this.drag) {
      const moved = x - this.drag.x;
      if (Math.abs(moved) > 3) this.drag.moved = true;
      if (this.drag.moved) {
        this.pause();
        this.focus(this.drag.from - moved / this.lens.scale, this.close.span);
      }
      return;
    }
    if (this.paused === null || !this.fixed) this.choose(this.lens.stepAt(x, y) ?? null);
  }

  leave() {
    this.pointed = false;
    if (this.paused === null) this.choose(null);
  }

  down(event) {
    if (event.button || !this.close || event.target.closest(".pl-zoom")) return;
    this.drag = { x: this.place(event)[0], from: this.close.from, moved: false };
    this.box.setPointerCapture(event.pointerId);
  }

  // A click that did not drag chooses what it hits, or lets it go.
  up(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag || drag.moved) return;
    const step = this.lens.stepAt(...this.place(event)) ?? null;
    if (step) this.pause();
    this.fixed = Boolean(step);
    this.choose(step);
  }

  wheel(event) {
    if (!this.close || !(event.ctrlKey || matchMedia("(min-width: 860px)").matches)) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.pause();
      this.focus(this.close.from + event.deltaX / this.lens.scale, this.close.span);
      return;
    }
    this.zoom(Math.exp(event.deltaY / 300), Math.min(1, Math.max(0, (this.place(event)[0] - this.lens.left) / this.lens.room)));
  }

  key(event) {
    const { length } = this.all;
    const acts = {
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      Home: () => this.step(-length),
      End: () => this.step(length),
    };
    if (event.target !== this.box || !acts[event.key]) return;
    event.preventDefault();
    this.fixed = true;
    acts[event.key]();
  }

  // A place in the overview: the close-up goes there.
  seek(event) {
    if (!this.close) return;
    this.pause();
    const x = event.clientX - this.overview.canvas.getBoundingClientRect().x;
    this.focus(this.overview.timeAt(Math.max(x, this.overview.left)) - this.close.span / 2, this.close.span);
  }
}
