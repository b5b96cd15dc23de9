// What can be done with the run that is shown: ask it again, change the question, compare, share, download, rate, pin.
import { ask } from "./api.js";
import { paramsOf } from "./address.js";
import { Downloads } from "./downloads.js";

export class RunDeeds {
  constructor(playground) {
    this.playground = playground;
    this.root = playground.root;
    this.shell = playground.shell;
    this.box = this.root.querySelector(".deeds");
    this.asked = this.root.querySelector(".asked");
    this.downloads = new Downloads(this.box);
    this.run = null;
    const actions = {
      copy: (button) => this.shell.copy(this.playground.column.stream.answerText(), button),
      edit: () => this.edit(),
      repeat: () => this.repeat(),
      compare: () => this.compare(),
      share: () => this.share(),
      "rate-up": () => this.rate(1),
      "rate-down": () => this.rate(-1),
      pin: () => this.change({ pinned: !this.known.pinned }),
    };
    this.root.addEventListener("click", (event) => actions[event.target.closest("[data-act]")?.dataset.act]?.(event.target.closest("[data-act]")));
    this.root.addEventListener("column-state", () => this.draw());
  }

  // Another run is shown, or none.
  show(run) {
    this.run = run;
    this.known = { pinned: false, rating: 0 };
    this.root.querySelector("[data-slot='asked']").textContent = run?.ask ? this.said(run.ask) : "";
    this.asked.hidden = !run?.ask;
    this.downloads.show(run?.id ?? null);
    this.draw();
  }

  // What was asked, in words.
  said({ skill, objects, question, object, length }) {
    const { asked } = this.playground.words;
    return objects?.join(", ") ?? question ?? object ?? (skill === "caption" ? asked[length] : asked[skill]) ?? "";
  }

  // What the history knows of it.
  take(record) {
    if (record.id !== this.run?.id) return;
    this.known = { pinned: record.pinned, rating: record.rating };
    this.downloads.learn();
    this.draw();
  }

  draw() {
    this.box.hidden = !this.run?.id || this.playground.busy;
    const press = (name, on) => this.box.querySelector(`[data-act="${name}"]`).setAttribute("aria-pressed", String(on));
    press("rate-up", this.known?.rating === 1);
    press("rate-down", this.known?.rating === -1);
    press("pin", Boolean(this.known?.pinned));
  }

  rate(value) {
    this.change({ rating: this.known.rating === value ? 0 : value });
  }

  async change(change) {
    const { run } = this;
    const before = this.known;
    this.known = { ...before, ...change };
    this.draw();
    try {
      await ask(`/api/runs/${encodeURIComponent(run.id)}`, { method: "PATCH", json: change });
    } catch (error) {
      if (this.run === run) this.known = before;
      this.draw();
      if (error.status === undefined) throw error;
      this.shell.fail(error);
    }
  }

  // Puts what was asked back into the form.
  edit() {
    if (!this.run?.ask) return;
    this.playground.restore.again(this.run.ask);
    const { prompt } = this.playground.form;
    prompt?.focus();
    prompt?.select();
  }

  // The same once more: same words, model, settings and seed.
  repeat() {
    const asked = this.run?.ask;
    if (asked && (asked.image === false || this.playground.intake.image)) this.playground.submit(asked);
  }

  // The run goes over to the compare view, or the question with the image.
  compare() {
    this.shell.go("compare", this.handover());
  }

  // What a comparison begins with: the run that is shown, if the form still asks the same, else what the form asks.
  handover() {
    const params = this.playground.restore.params();
    const run = params.get("run");
    params.delete("run");
    const shown = run && this.playground.column.root.dataset.run === "done" && this.run?.ask;
    return shown && asks(params) === asks(paramsOf(shown)) ? new URLSearchParams({ run }) : params;
  }

  share() {
    if (this.run?.id && !this.playground.busy) this.shell.share({ run: this.run.id });
  }
}

// What is asked about the image, in an order that does not matter. The seed belongs to a run.
function asks(params) {
  return JSON.stringify([...params].filter(([name]) => !["image", "s.seed"].includes(name)).sort());
}
