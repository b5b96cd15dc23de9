// The facts of one step below the close-up, with the runs that rode in it as far as this history has them.
import { address, ask } from "./api.js";
import { say } from "./say.js";

const MOST = 8; // requests that are named
const SETTLE_MS = 150;
const SPANS = ["device", "launch", "mask", "wait", "commit"];

export class StepFacts {
  constructor(root, { words, go }) {
    Object.assign(this, { words, go });
    this.box = root.querySelector(".pl-facts");
    this.hint = root.querySelector("[data-slot='hint']");
    this.spoken = root.querySelector("[data-slot='spoken']");
    this.runs = new Map();
    this.step = null;
    this.box.addEventListener("click", (event) => this.click(event));
  }

  // `spoken`: the person moves by keys and hears which step it is.
  show(step, { spoken = false } = {}) {
    if (step !== this.step) {
      this.step = step;
      this.draw();
      clearTimeout(this.timer);
      if (step) this.timer = setTimeout(() => this.find(step), SETTLE_MS);
    }
    if (spoken && step) this.spoken.textContent = this.said(step);
  }

  said(step) {
    const { words } = this;
    return say(words.spoken, {
      kind: words.kinds[step.kind],
      index: String(step.index),
      slot: step.slot,
      rows: say(words.rows, { n: step.rows.length }),
      device: length(step.device),
      idle: step.idle.toFixed(2),
    });
  }

  draw() {
    const { step, words, box } = this;
    box.hidden = !step;
    this.hint.hidden = Boolean(step);
    if (!step) return;
    const head = made("p", "pl-step-head");
    head.dataset.kind = step.kind;
    head.append(made("i"), made("b", "", say(words.step, { kind: words.kinds[step.kind], index: String(step.index) })));
    const facts = [say(words.facts.slot, step), say(words.rows, { n: step.rows.length })];
    if (step.kind === "prefill") facts.push(say(words.facts.positions, { n: step.positions }));
    if (step.zombies) facts.push(say(words.facts.zombies, { n: step.zombies }));
    head.append(made("span", "", facts.join(" · ")));
    const times = made("dl", "pl-times");
    for (const name of SPANS) times.append(...this.time(name, length(step[name])));
    times.append(...this.time("idle", step.idle.toFixed(2)));
    box.replaceChildren(head, times, this.riders(step));
  }

  time(name, value) {
    const pair = made("div");
    pair.append(made("dt", "", this.words.facts[name]), made("dd", "", `${value} ms`));
    return [pair];
  }

  riders(step) {
    const list = made("ul", "pl-riders");
    const known = [...new Set(step.requests.filter(Boolean))];
    for (const id of known.slice(0, MOST)) {
      const run = this.runs.get(id);
      const item = made("li");
      if (run) item.append(Object.assign(made("a", "pl-run", run.title), { href: `?run=${encodeURIComponent(run.run)}` }));
      else item.append(made("code", "", id));
      list.append(item);
    }
    const others = step.requests.filter((id) => !id).length;
    if (known.length > MOST) list.append(made("li", "", say(this.words.more, { n: known.length - MOST })));
    if (others) list.append(made("li", "", say(this.words.others, { n: others })));
    return list;
  }

  // Asks which of the requests are runs of this history; a name that cannot be had is only not shown.
  async find(step) {
    const unknown = [...new Set(step.requests)].filter((id) => id && !this.runs.has(id)).slice(0, MOST);
    if (!unknown.length) return;
    try {
      const { runs } = await ask(address("/api/trace/runs", { ids: unknown.join(",") }));
      for (const id of unknown) this.runs.set(id, runs[id] ?? null);
    } catch {
      return;
    }
    if (this.step === step) this.draw();
  }

  click(event) {
    const link = event.target.closest(".pl-run");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.go("playground", { run: new URL(link.href).searchParams.get("run") });
  }
}

function length([begin, end]) {
  return (end - begin).toFixed(2);
}

function made(name, className = "", text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}
