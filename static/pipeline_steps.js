// The steps that the page has heard of, and what can be counted of them. Times are milliseconds of the engine's
// clock; a step is what `wire.TraceStep` says, with its `requests` instead of their places.
const KEPT_MS = 11000;
const KEPT_STEPS = 600; // at least so many, however old
const LAG_MS = 180; // a step is told of after its commit; until then its place is not drawn
const DRIFT_MS = 1; // by which a slower message may move the clock
const JUMP_MS = 2000;

export const DEVICE_PARTS = ["decode", "prefill", "zombie", "bubble"];
export const HOST_PARTS = ["commit", "launch", "mask", "wait"];

export class Steps {
  constructor() {
    this.all = [];
    this.offset = null;
  }

  // The new steps of a message that came at `at`, of `performance.now()`.
  take({ clock_ms, steps, requests }, at) {
    const late = at - clock_ms;
    const jumped = this.offset === null || Math.abs(late - this.offset) > JUMP_MS;
    this.offset = jumped ? late : Math.min(late, this.offset + DRIFT_MS);
    if (!steps.length) return;
    if (this.all.length && steps[0].index <= this.all.at(-1).index) this.all = []; // another engine
    for (const step of steps) this.all.push({ ...step, requests: step.rows.map((place) => requests[place] ?? null) });
    const old = clock_ms - KEPT_MS;
    const first = this.all.findIndex((step) => step.commit[1] >= old);
    const kept = first < 0 ? this.all.length : first;
    this.all.splice(0, Math.max(0, Math.min(kept, this.all.length - KEPT_STEPS)));
  }

  // The moment at the right edge of the picture.
  now(at) {
    return this.offset === null ? 0 : at - this.offset - LAG_MS;
  }
}

// Those of `all` that have anything between `from` and `to`.
export function between(all, from, to) {
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all[middle].commit[1] < from) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < all.length && started(all[end]) <= to) end += 1;
  return all.slice(low, end);
}

// When a step, or the bubble before it, began.
export function started(step) {
  return Math.min(step.launch[0], step.device[0] - step.idle);
}

// What the device and the host did in each of `count` spans of `width` ms from `from` on, as shares of the span.
export function bins(steps, from, width, count) {
  const parts = Object.fromEntries([...DEVICE_PARTS, ...HOST_PARTS].map((part) => [part, new Float32Array(count)]));
  const add = (values, begin, end, weight) => {
    const a = Math.max(0, (begin - from) / width);
    const b = Math.min(count, (end - from) / width);
    const first = Math.floor(a);
    if (b <= first + 1) {
      if (b > a) values[first] += weight * (b - a);
      return;
    }
    values[first] += weight * (first + 1 - a);
    const last = Math.floor(b);
    for (let i = first + 1; i < last; i += 1) values[i] += weight;
    if (last < count) values[last] += weight * (b - last);
  };
  for (const step of steps) {
    const dead = step.zombies / step.rows.length;
    const begin = step.device[0];
    add(parts[step.kind], begin, step.device[1], 1 - dead);
    if (dead) add(parts.zombie, begin, step.device[1], dead);
    if (step.idle) add(parts.bubble, begin - step.idle, begin, 1);
    for (const part of HOST_PARTS) add(parts[part], step[part][0], step[part][1], 1);
  }
  return parts;
}

// How the device spent its time with work between two moments, as shares that add up to 1; null without work.
export function shares(steps, from, to) {
  const parts = bins(steps, from, to - from, 1);
  const sum = DEVICE_PARTS.reduce((total, part) => total + parts[part][0], 0);
  return sum > 0 ? Object.fromEntries(DEVICE_PARTS.map((part) => [part, parts[part][0] / sum])) : null;
}

// Rows that brought somebody a token, per second, in the second before `now`.
export function tokens(all, now) {
  return between(all, now - 1000, now)
    .filter((step) => step.commit[1] > now - 1000 && step.commit[1] <= now)
    .reduce((sum, step) => sum + step.rows.length - step.zombies, 0);
}

// A span that shows about `wanted` steps like the last ones.
export function spanOf(all, wanted) {
  const last = all.slice(-wanted - 1);
  if (last.length < 3) return null;
  const gaps = last.slice(1).map((step, i) => step.commit[1] - last[i].commit[1]).sort((a, b) => a - b);
  return gaps[gaps.length >> 1] * wanted;
}
