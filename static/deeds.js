// What can be done with the run that is shown: ask it again, change the question, compare, share, download, rate, pin.
import { ask } from "./api.js";
import { paramsOf } from "./address.js";

export class RunDeeds {
  constructor(playground) {
    this.playground = playground;
    this.root = playground.root;
    this.shell = playground.shell;
    this.box = this.root.querySelector(".deeds");
    this.asked = this.root.querySelector(".asked");
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
    const said = run?.ask ? run.ask.objects?.join(", ") ?? run.ask.question ?? run.ask.object ?? "" : "";
    this.root.querySelector("[data-slot='asked']").textContent = said;
    this.asked.hidden = !run?.ask;
    this.box.classList.toggle("bare", run?.ask?.image === false); // of its files only those without an image
    for (const link of this.box.querySelectorAll("[data-download]")) {
      if (run?.id) link.href = `/api/runs/${encodeURIComponent(run.id)}/download/${link.dataset.download}`;
      else link.removeAttribute("href");
    }
    this.draw();
  }

  // What the history knows of it.
  take(record) {
    if (record.id !== this.run?.id) return;
    this.known = { pinned: record.pinned, rating: record.rating };
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
    this.playground.restore.form(this.run.ask);
    const { prompt } = this.playground.form;
    prompt?.focus();
    prompt?.select();
  }

  // The same once more: same words, model, settings and seed.
  repeat() {
    const asked = this.run?.ask;
    if (asked && (asked.image === false || this.playground.intake.image)) this.playground.submit(asked);
  }

  // The question goes over to the compare view, with the image.
  compare() {
    const { intake } = this.playground;
    const asked = this.playground.busy ? this.run?.ask : this.playground.ask() ?? this.run?.ask;
    const params = paramsOf(asked ?? {});
    if (asked?.image === false) params.set("image", "none");
    else if (intake.image?.hash) params.set("image", intake.image.hash);
    this.shell.go("compare", params);
  }

  share() {
    if (this.run?.id && !this.playground.busy) this.shell.share({ run: this.run.id });
  }
}
