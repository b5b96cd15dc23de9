// The inspector: what the engine of the chosen model does, step by step, and how far it may run ahead. The engine is
// asked to tell of its steps only while this is shown.
import { address } from "./api.js";
import { Figures } from "./pipeline_figures.js";
import { StepFacts } from "./pipeline_step.js";
import { Timeline } from "./pipeline_timeline.js";
import { recall, remember } from "./prefs.js";
import { say } from "./say.js";

const ZOOM = 1.5;
const ENDED = ["dead", "stopped"];

export class Pipeline {
  constructor(root, shell) {
    Object.assign(this, { root, shell });
    this.words = JSON.parse(root.dataset.words);
    this.slots = Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((slot) => [slot.dataset.slot, slot]));
    this.facts = new StepFacts(root, { words: this.words, go: (view, params) => shell.go(view, params) });
    this.figures = new Figures(root, this.words);
    this.timeline = new Timeline(root, {
      words: this.words,
      chosen: (step, options) => this.facts.show(step, options),
      held: (yes) => this.held(yes),
    });
    this.model = null;
    this.trace = null;
    this.watched = null; // the model that the engine tells of
    this.refused = "";
    this.keys = this.shortcuts();
    this.bind();
  }

  open() {
    this.shown = true;
    this.watch();
    this.timeline.fresh();
    this.timeline.start();
    this.draw();
  }

  close() {
    this.shown = false;
    this.watch();
    this.timeline.stop();
  }

  receive({ engine, model, open, closed, traces }) {
    if (engine) this.engine = engine;
    if (closed) this.watched = null;
    if (model && model.id !== this.model?.id) this.clear();
    if (model) this.model = model;
    if (open || model) this.watch();
    if (traces) traces.forEach((trace) => this.take(trace));
    else if (this.shown && (engine || model || closed)) this.draw();
  }

  // Tells the engine what to tell of, if that has changed.
  watch() {
    const wanted = this.shown && !document.hidden ? this.model?.id ?? null : null;
    if (wanted === this.watched) return;
    if (this.shell.send({ trace: wanted && { model: wanted } })) this.watched = wanted;
  }

  clear() {
    this.trace = null;
    this.refused = "";
    this.timeline.clear();
    this.figures.clear();
  }

  take(trace) {
    if (trace.model !== this.model?.id) return;
    this.refused = trace.refused ?? "";
    if (!trace.refused) {
      this.trace = trace;
      const { timeline } = this;
      timeline.take(trace);
      const at = performance.now();
      this.figures.take(trace, timeline.steps.all, timeline.steps.now(at), timeline.seconds, at);
    }
    this.draw();
  }

  // ---------------------------------------------------------------------------------- what is said

  draw() {
    const { model, trace, slots, root } = this;
    const state = this.state();
    root.dataset.state = state;
    slots.model.textContent = model?.name ?? "–";
    const said = { gone: this.engine?.text, refused: "", unloaded: "", waiting: "" }[state] ?? this.words.states[state] ?? "";
    put(slots.state, this.timeline.paused === null ? said : this.words.held);
    this.veil(state);
    const depth = trace?.choice;
    for (const radio of root.querySelectorAll("[name='pl-depth']")) {
      radio.disabled = !trace || state === "gone";
      if (radio.value === (this.asked ?? depth)) radio.checked = true;
    }
    if (this.asked === depth) this.asked = null;
    put(slots.depth, trace ? say(this.words.depth[trace.choice], { depth: trace.depth }) : "");
    const query = { model: model?.id, seconds: this.timeline.seconds };
    slots.file.href = address("/api/trace", query);
    slots.file.hidden = !trace || state === "gone";
  }

  state() {
    const { engine, model, trace } = this;
    if (!engine || !model) return "waiting";
    if (engine.state !== "ready") return "gone";
    if (this.refused) return "refused";
    if (!model.loaded) return "unloaded";
    if (!trace) return "waiting";
    if (trace.state !== "ready") return trace.state;
    return trace.gauges.running + trace.gauges.waiting + trace.gauges.in_flight > 0 ? "ready" : "idle";
  }

  // What stands in place of the overview while that has nothing to show.
  veil(state) {
    const { words, model, trace, engine } = this;
    const loading = model?.state === "loading";
    const text = {
      waiting: words.waiting,
      gone: engine?.detail || engine?.text,
      refused: this.refused,
      unloaded: say(loading ? words.loading : words.unloaded, { model: model?.name }),
      idle: words.idle,
      dead: say(words.dead, { reason: trace?.reason ?? "" }),
    }[state];
    const always = ["gone", "refused", "unloaded", "waiting", ...ENDED].includes(state);
    const shown = Boolean(text) && this.timeline.paused === null && (always || !this.timeline.seen);
    this.root.querySelector(".pl-veil").hidden = !shown;
    if (!shown) return;
    put(this.slots.empty, text);
    this.root.querySelector("[data-do='load']").hidden = state !== "unloaded" || loading;
    this.slots.ask.hidden = state !== "idle";
  }

  held(yes) {
    const button = this.root.querySelector("[data-do='pause']");
    button.setAttribute("aria-pressed", String(yes));
    button.querySelector("span").textContent = yes ? this.words.go_on : this.words.pause;
    this.draw();
  }

  // ---------------------------------------------------------------------------------- what is done

  bind() {
    const acts = {
      pause: () => this.timeline.toggle(),
      "zoom-in": () => this.timeline.zoom(1 / ZOOM),
      "zoom-out": () => this.timeline.zoom(ZOOM),
      load: () => this.shell.models.choose(this.model.id),
    };
    this.root.addEventListener("click", (event) => acts[event.target.closest("[data-do]")?.dataset.do]?.());
    this.root.addEventListener("change", ({ target }) => {
      if (target.name === "pl-window") this.window(Number(target.value));
      if (target.name === "pl-depth") this.depth(target.value);
    });
    document.addEventListener("visibilitychange", () => this.watch());
    const themed = () => this.shown && this.timeline.fresh();
    new MutationObserver(themed).observe(document.body, { attributeFilter: ["class"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);
    const { seconds } = recall("pipeline", { seconds: 2 });
    const radio = this.root.querySelector(`[name='pl-window'][value='${Number(seconds)}']`);
    if (radio) radio.checked = true;
    if (radio) this.timeline.seconds = seconds;
  }

  window(seconds) {
    this.timeline.seconds = seconds;
    this.timeline.soon();
    remember("pipeline", { seconds });
    this.draw();
  }

  // Shown at once; the engine's next message says what has become of it.
  depth(choice) {
    if (!this.trace || this.state() === "gone") return;
    this.asked = choice;
    setTimeout(() => (this.asked = null), 1500);
    this.shell.send({ depth: { model: this.model.id, depth: choice === "auto" ? choice : Number(choice) } });
    this.draw();
  }

  shortcuts() {
    return {
      p: () => this.timeline.toggle(),
      a: () => this.depth("auto"),
      number: (n) => n <= 2 && this.depth(String(n)),
      "+": () => this.timeline.zoom(1 / ZOOM),
      "-": () => this.timeline.zoom(ZOOM),
      escape: () => this.timeline.go(),
    };
  }
}

// Said again only when it is something else: the place is read aloud.
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
