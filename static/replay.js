// Plays runs again as they were: the server's frames (`visualizers/timeline.py`), put into a stream at their times.
//
//     const replay = new Replay(timeline, { stream, changed });   // of GET /api/runs/ID/timeline
//     new ReplayControls(root, replay);                           // of `visualizers/controls.py`
//     replay.play(); replay.pause(); replay.seek(1200); replay.step(-1); replay.speed = 4;
//
// `stream` has `begin(timeline)`, `push(fragments)` and `settle(state)`, as a `Stream` or a `Column`. `beside` are
// further `{ timeline, stream }` that play at the same time. `changed` is called whenever anything is different.
const LONGEST_STEP_MS = 1000; // a tab that was away goes on where it was
const STEPS = 500;
const SHORTEST_MS = 2000; // a run that is over sooner plays slowly, unless a speed is chosen

export class Replay {
  constructor(timeline, { stream, beside = [], changed = () => {} }) {
    this.tracks = [{ timeline, stream }, ...beside].map((one) => new Track(one.timeline, one.stream));
    this.times = [...new Set(this.tracks.flatMap(({ timeline }) => timeline.frames.map(([at]) => at)))].sort((a, b) => a - b);
    this.duration = Math.max(...this.tracks.map(({ timeline }) => timeline.duration_ms));
    this.changed = changed;
    this.speed = 1;
    this.at = this.duration;
    this.playing = false;
  }

  get ended() {
    return this.at >= this.duration;
  }

  // From the beginning if it has ended.
  play() {
    if (this.playing) return;
    if (this.ended) this.seek(0);
    this.playing = true;
    this.last = null;
    this.frame = requestAnimationFrame((now) => this.tick(now));
    this.changed();
  }

  pause() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    this.changed();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  // Shows how it was after `ms` of its own time, whichever way that is from here, without any motion.
  seek(ms) {
    this.at = Math.min(Math.max(ms, 0), this.duration);
    for (const track of this.tracks) track.jump(this.at);
    if (this.ended && this.playing) this.pause();
    else this.changed();
  }

  // To the next event, or with -1 back to how it was before the last one.
  step(by) {
    this.pause();
    const { times, at } = this;
    const to = by > 0 ? times.find((time) => time > at) : times.findLast((time) => time < at);
    this.seek(to ?? (by > 0 ? this.duration : 0));
  }

  tick(now) {
    if (!this.playing) return;
    const passed = Math.min(now - (this.last ?? now), LONGEST_STEP_MS);
    this.last = now;
    this.at = Math.min(this.at + passed * this.speed, this.duration);
    for (const track of this.tracks) track.advance(this.at);
    if (this.ended) {
      this.pause();
      return;
    }
    this.frame = requestAnimationFrame((next) => this.tick(next));
    this.changed();
  }
}

// One timeline in one stream, and how many of its frames are in it; -1 before the first time.
class Track {
  constructor(timeline, stream) {
    Object.assign(this, { timeline, stream, shown: -1 });
  }

  advance(at) {
    if (this.shown < 0) this.jump(0);
    this.show(this.until(at), (frames) => frames.flatMap(([, fragments]) => fragments));
  }

  jump(at) {
    const until = this.until(at);
    if (this.shown < 0 || until < this.shown) {
      this.stream.begin(this.timeline);
      this.shown = 0;
    }
    this.show(until, settled);
  }

  show(until, fragments) {
    const { frames, state } = this.timeline;
    if (until === this.shown) return;
    this.stream.push(fragments(frames.slice(this.shown, until)));
    this.shown = until;
    if (until === frames.length) this.stream.settle(state);
  }

  until(at) {
    const { frames } = this.timeline;
    let [low, high] = [0, frames.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (frames[middle][0] <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

// What a stretch of frames comes to: per slot nothing from before it was replaced, every child in its last form,
// and no mark that has just arrived.
function settled(frames) {
  const slots = new Map();
  for (const [, fragments] of frames) {
    for (const fragment of fragments) {
      const name = `${fragment.part ?? 0} ${fragment.slot}`;
      if (fragment.op === "replace" || !slots.has(name)) slots.set(name, new Stretch());
      slots.get(name).add(fragment);
    }
  }
  return [...slots.values()].flatMap(({ kept }) => kept);
}

// What is left of the changes of one slot.
class Stretch {
  constructor() {
    this.kept = [];
    this.places = new Map(); // of the children that were put, by key
  }

  add(fragment) {
    const { slot, op, key } = fragment;
    const html = slot === "marks" ? fragment.html.replaceAll(' enter"', '"') : fragment.html;
    const last = this.kept.at(-1);
    if (op === "append" && last?.op === "append") last.html += html;
    else if (op === "put" && this.places.has(key)) this.kept[this.places.get(key)] = { ...fragment, html };
    else {
      if (op === "put") this.places.set(key, this.kept.length);
      this.kept.push({ ...fragment, html });
    }
  }
}

// The buttons of `visualizers/controls.py`; every word is in the markup.
export class ReplayControls {
  constructor(root, replay) {
    Object.assign(this, { root, replay });
    this.button = root.querySelector(".replay-play");
    this.range = root.querySelector(".replay-at");
    this.time = root.querySelector(".replay-time");
    this.select = root.querySelector(".replay-speed");
    this.listening = new AbortController();
    const { signal } = this.listening;
    const changed = replay.changed;
    replay.changed = () => {
      this.draw();
      changed();
    };
    this.range.max = STEPS;
    this.select.value = root.dataset.speed ?? this.usual();
    replay.speed = Number(this.select.value);
    this.button.addEventListener("click", () => replay.toggle(), { signal });
    this.select.addEventListener("change", () => this.choose(), { signal });
    for (const step of root.querySelectorAll(".replay-step")) {
      step.addEventListener("click", () => replay.step(Number(step.dataset.by)), { signal });
    }
    this.range.addEventListener("input", () => this.scrub(), { signal });
    this.range.addEventListener("change", () => this.release(), { signal });
    root.hidden = !(replay.duration > 0);
    this.draw();
  }

  // The fastest speed, up to that of the run itself, at which it can be followed.
  usual() {
    const slow = [...this.select.options].map(({ value }) => Number(value)).filter((speed) => speed <= 1);
    return String(slow.findLast((speed) => this.replay.duration / speed >= SHORTEST_MS) ?? slow[0]);
  }

  // What was chosen holds for the next run, too.
  choose() {
    this.root.dataset.speed = this.select.value;
    this.replay.speed = Number(this.select.value);
  }

  // The time stands still while the thumb is held.
  scrub() {
    const { replay } = this;
    const wanted = (this.range.value / STEPS) * replay.duration; // before pausing draws where it is
    this.held ||= replay.playing;
    if (replay.playing) replay.pause();
    replay.seek(wanted);
  }

  release() {
    if (this.held && !this.replay.ended) this.replay.play();
    this.held = false;
  }

  draw() {
    const { at, duration, playing } = this.replay;
    const { play, pause, unit } = this.root.dataset;
    const seconds = (ms) => (ms / 1000).toFixed(duration < SHORTEST_MS ? 2 : 1);
    this.root.classList.toggle("playing", playing);
    this.button.setAttribute("aria-label", playing ? pause : play);
    this.range.value = Math.round((at / duration) * STEPS);
    this.time.textContent = `${seconds(at)} / ${seconds(duration)} ${unit}`;
    this.range.setAttribute("aria-valuetext", this.time.textContent);
  }

  // Leaves the replay where it is; the controls can be used for another.
  remove() {
    this.replay.pause();
    this.listening.abort();
    this.root.hidden = true;
  }
}
