// One image with its marks, and the words that go with it: the unit that the playground shows once and a
// comparison two to four times. Every part of a result comes from the server as fragments.
//
// The root holds, somewhere below it, what `app/ui/column.py` writes: `.sky` with `.plate`, and the slots
// (`data-slot`: reasoning, answer, marks, list, status, metrics, title ...). It carries
//
//     data-column  its name        data-run    idle, queued, running, done, stopped, failed, lost
//     data-phase   empty, image, or words (no image, on purpose)
//     .focusing    while evidence is lit; `.dimming` instead where there are very many marks
//
// A column tells what happens to it by events on its root: `column-state`, `column-drawn` (fragments were put
// in), `column-lit` (detail: the grounds that are lit), `column-view` (detail: scale and center).
import { Evidence } from "./evidence.js";
import { Labels } from "./labels.js";
import { Spotlight } from "./spotlight.js";
import { Stream } from "./stream.js";
import { Viewer } from "./viewer.js";

const BUSY = ["queued", "running"];

export class Column {
  // `takes` and `adds` are for places on the image that the person points at, see `viewer.js`.
  constructor(root, { name = "main", takes = () => false, adds = () => {} } = {}) {
    this.root = root;
    this.name = name;
    root.classList.add("column");
    root.dataset.column = name;
    root.dataset.run ??= "idle";
    root.dataset.phase ??= "empty";
    this.run = null; // what `begin` said of the run that is shown
    this.spotlight = new Spotlight(root.querySelector(".marks"));
    this.evidence = new Evidence(root, {
      changed: (grounds) => this.tell("lit", grounds),
      draw: (lit) => this.spotlight.show(lit),
    });
    this.viewer = new Viewer(root, { takes, adds });
    this.viewer.zoom.onChange = (view) => this.tell("view", view);
    this.stream = new Stream(root, () => this.drawn());
    this.labels = new Labels(root);
  }

  get busy() {
    return BUSY.includes(this.root.dataset.run);
  }

  // Shows the picture at `url`; rejects when the browser cannot decode it.
  show(url, alt) {
    return this.viewer.show(url, alt);
  }

  // A run takes the column over; `begin` is the server's message of that name.
  begin(begin) {
    this.run = begin;
    this.rewind(begin);
  }

  push(fragments) {
    this.stream.push(fragments);
  }

  // A replay starts over: as `begin`, but it is still the same run.
  rewind(begin) {
    this.evidence.release();
    this.stream.begin(begin);
    this.labels.begin(begin);
  }

  settle(state) {
    const wasBusy = this.busy;
    this.root.dataset.run = state;
    if (!this.busy) this.stream.settle();
    this.tell("state", { state, ended: wasBusy && !this.busy });
  }

  // Takes its style rules away with it.
  remove() {
    this.labels.remove();
    this.root.remove();
  }

  clear() {
    this.run = null;
    this.stream.clear();
    this.labels.clear();
    this.evidence.release();
    this.settle("idle");
  }

  drawn() {
    this.viewer.count(this.labels.drawn());
    this.root.classList.toggle("has-spread", this.viewer.marks.querySelector(".spread") !== null);
    this.root.classList.toggle("has-probs", this.stream.box.querySelector(".tok") !== null);
    this.evidence.drawn();
    this.tell("drawn");
  }

  tell(what, detail) {
    this.root.dispatchEvent(new CustomEvent(`column-${what}`, { detail }));
  }
}
