// Asking the columns of a comparison: what is sent, what comes back, and keeping what stands side by side.
import { ask } from "./api.js";
import { NO_IMAGE } from "./compare_image.js";
import { say } from "./say.js";

const MOST = 4;

export class CompareRuns {
  constructor(compare) {
    this.compare = compare;
    this.brought = null; // the column whose run was there before, and
    this.asked = ""; // what it was asked; while that stays, it is not asked again
  }

  // The asks of the first `most` columns; null if one of them is none yet.
  asks(most = MOST) {
    const sides = this.compare.sides.slice(0, most);
    const shared = this.compare.form.request({ lacksPrompt: sides.every((side) => side.ownValues().prompt) });
    return shared && sides.map((side) => side.request(shared));
  }

  bring(side) {
    this.brought = side;
    this.asked = this.said(side);
  }

  release() {
    this.brought = null;
  }

  // The columns that Run asks.
  get due() {
    const { sides } = this.compare;
    const there = this.brought && sides.includes(this.brought) && this.said(this.brought) === this.asked;
    return there ? sides.filter((side) => side !== this.brought) : sides;
  }

  // What a column asks, whether it could be asked or not. Where it stands does not matter.
  said(side) {
    return JSON.stringify({ ...side.request(this.compare.form.draft()), column: "", width: 0 });
  }

  async run() {
    const { compare } = this;
    const { form, image, shell } = compare;
    if (compare.busy) return;
    compare.fail("");
    form.fail("");
    if (compare.mode === "many") {
      await compare.batch.run();
      return;
    }
    if (!compare.picture) {
      compare.fail(compare.words.missing_image);
      return;
    }
    await image.storing;
    const asks = this.asks();
    const { hash } = image;
    if (!asks || !hash || !this.able()) return;
    if (this.asksFirst(this.due)) return;
    const bare = hash === NO_IMAGE;
    if (!bare) shell.send({ image: { id: `cmp-${hash.slice(0, 16)}`, hash } });
    this.send(bare ? asks.map((one) => ({ ...one, image: false })) : asks);
  }

  // Whether a person has to agree to a download first; then Run goes on by itself.
  asksFirst(sides) {
    const { models } = this.compare.shell;
    const far = sides.map(({ chosen }) => chosen).find((model) => model?.state === "download" && !models.agreed.has(model.id));
    if (far) models.confirm(far, () => this.run());
    return Boolean(far);
  }

  // All columns as one comparison; beside a run that is there, each by itself.
  send(asks) {
    const { shell, sides, fail } = this.compare;
    const { due } = this;
    const sent =
      due.length === sides.length
        ? shell.send({ compare: { columns: asks } })
        : due.every(({ index }) => shell.send({ run: asks[index] }));
    if (!sent) fail.call(this.compare, shell.words.offline);
  }

  // Says beside each column whose model lacks the skill that it does; whether none does.
  able() {
    const { form, words } = this.compare;
    const lacking = this.due.filter(({ chosen }) => chosen && !chosen.skills.includes(form.skill));
    for (const side of lacking) side.fail(say(words.lacks[form.skill], { name: side.chosen.name }));
    return lacking.length === 0;
  }

  stop() {
    const { mode, batch, shell, sides } = this.compare;
    if (mode === "many" && batch.running) batch.cancel();
    for (const side of sides) if (side.busy) shell.send({ stop: side.column.name });
  }

  receive(message) {
    const { sides } = this.compare;
    if (message.progress) for (const side of sides) side.step(message.progress);
    if (message.closed) for (const side of sides) if (side.busy) side.column.settle("lost");
    const side = sides.find(({ column }) => column.name === message.column);
    if (!side) return;
    if (message.begin) this.begin(side, message.begin);
    if (message.invalid) this.invalid(side, message.invalid);
    if (message.fragments) side.column.push(message.fragments);
    if (message.run) this.settle(side, message.run);
  }

  begin(side, begin) {
    const { compare } = this;
    compare.findings.fresh();
    compare.edits = false;
    side.begin(begin);
    if (begin.comparison && begin.comparison === compare.comparison) return;
    compare.comparison = begin.comparison;
    if (compare.comparison || compare.sides.every(({ runId }) => runId)) {
      this.release();
      compare.address.write({ push: true });
    }
  }

  settle(side, state) {
    const { compare } = this;
    side.column.settle(state);
    compare.draw();
    if (!compare.busy) compare.findings.look();
  }

  invalid(side, { field, text }) {
    const { compare } = this;
    if (field === "image") compare.fail(text);
    else if (["prompt", "refs", "schema"].includes(field)) compare.form.fail(text);
    else side.fail(text);
  }

  // Whether what is shown is no comparison of the history yet, but could be one.
  get keepable() {
    const { busy, comparison, edits, sides } = this.compare;
    return !busy && !comparison && !edits && sides.every(({ runId }) => runId);
  }

  async keep() {
    const { compare } = this;
    const shown = compare.sides.map(({ runId }) => runId);
    try {
      const { id, runs } = await ask("/api/comparisons", { method: "POST", json: { runs: shown, title: compare.form.title } });
      compare.comparison = id;
      compare.sides.forEach((side, index) => (side.runId = runs[index]));
    } catch (error) {
      if (!("status" in error)) throw error;
      compare.shell.fail(error);
      return;
    }
    compare.address.write({ push: true });
    compare.draw();
    compare.shell.toast(compare.words.kept);
  }
}
