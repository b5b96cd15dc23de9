// The checks of a run: one line below the answer, and all of them in the inspector. A piece of evidence lights its
// mark and words by itself (`data-ground`); one without a mark is shown here: words by a highlight, places by a probe.
import { ask } from "./api.js";
import { Detected } from "./detected.js";

const SLOTS = { prompt: "[data-slot='asked']", reasoning: "[data-slot='reasoning']", answer: "[data-slot='answer']" };
const HIGHLIGHT = "evidence";

export class Audit {
  constructor(root, { shell, viewer, panel, verdict }) {
    Object.assign(this, { root, shell, panel, verdict });
    this.detected = new Detected(root, viewer);
    this.plate = root.querySelector(".plate");
    this.probe = null;
    for (const place of [panel, verdict]) {
      for (const name of ["pointerover", "focusin"]) place.addEventListener(name, (event) => this.point(event));
      for (const name of ["pointerleave", "focusout"]) place.addEventListener(name, () => this.release());
      place.addEventListener("click", (event) => this.click(event));
    }
  }

  clear() {
    this.id = null;
    this.content = null;
    this.verdict.replaceChildren();
    this.detected.show({ layer: "", legend: "" });
    this.release();
  }

  // `asked`: the boxes are what a person has just asked for.
  take(id, { html, line, boxes }, asked = false) {
    this.id = id;
    this.content = parsed(html);
    this.verdict.innerHTML = line;
    this.detected.show(boxes, asked);
  }

  click(event) {
    const button = event.target.closest(".audit-detect");
    if (button && !button.disabled) this.detect(button);
  }

  // Detect is run for the nouns; its boxes are evidence of the same checks.
  async detect(button) {
    const { id } = this;
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      const said = await ask(`/api/runs/${encodeURIComponent(id)}/audit/detect`, { method: "POST", json: {} });
      if (this.id !== id) return;
      const old = this.content;
      this.take(id, said, true);
      old.replaceWith(this.content);
      this.content.querySelector(".audit-summary")?.setAttribute("tabindex", "-1");
      this.content.querySelector(".audit-summary")?.focus();
    } catch (error) {
      if (error.status === undefined) throw error;
      this.shell.fail(error);
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  }

  point(event) {
    const evidence = event.target.closest(".evidence");
    this.release();
    if (!evidence) return;
    const { where, start, end, point, box, ground } = evidence.dataset;
    if (where) this.highlight(this.root.querySelector(SLOTS[where]), Number(start), Number(end));
    if (!ground && (point || box)) this.show((point ?? box).split(",").map(Number));
  }

  release() {
    this.probe?.remove();
    this.probe = null;
    CSS.highlights?.delete(HIGHLIGHT);
  }

  // A place that has no mark of its own, fractions of the image.
  show([x, y, x2, y2]) {
    const probe = Object.assign(document.createElement("i"), { className: x2 === undefined ? "probe probe-point" : "probe probe-box" });
    Object.assign(probe.style, { left: `${x * 100}%`, top: `${y * 100}%` });
    if (x2 !== undefined) Object.assign(probe.style, { width: `${(x2 - x) * 100}%`, height: `${(y2 - y) * 100}%` });
    this.plate.append(probe);
    this.probe = probe;
  }

  // Code points `start` to `end` of the text in a slot; the numbers that are raised beside spans do not count.
  highlight(slot, start, end) {
    if (!slot || !globalThis.Highlight) return;
    const range = document.createRange();
    const texts = document.createTreeWalker(slot, NodeFilter.SHOW_TEXT);
    let [at, started, ended] = [0, false, false];
    while (!ended && texts.nextNode()) {
      const node = texts.currentNode;
      if (node.parentElement.closest(".ground-number, .structured-bar")) continue;
      const points = [...node.data];
      const offset = (code) => points.slice(0, code - at).join("").length;
      if (!started && start < at + points.length) {
        range.setStart(node, offset(start));
        started = true;
      }
      ended = started && end <= at + points.length;
      if (started) range.setEnd(node, ended ? offset(end) : node.data.length);
      at += points.length;
    }
    if (started) CSS.highlights.set(HIGHLIGHT, new Highlight(range));
  }
}

// As one element.
function parsed(html) {
  const holder = document.createElement("div");
  holder.innerHTML = html;
  return holder;
}
