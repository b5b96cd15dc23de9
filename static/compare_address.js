// The address of a comparison, and back: runs of the history, or what is to be asked in which columns.
import { askOf, paramsOf } from "./address.js";
import { ask } from "./api.js";
import { NO_IMAGE } from "./compare_image.js";
import { differences, loadRuns } from "./compare_load.js";

const FEWEST = 2;
const MOST = 4;

export class CompareAddress {
  constructor(compare) {
    this.compare = compare;
    this.at = null; // the address that is shown
  }

  // Does not wait for what has to be read first: the connection is not opened before the first view is.
  open(params) {
    if (params.toString() === this.at) return;
    const wanted = [...params].length ? params : this.handedOver() ?? params;
    this.at = params.toString();
    const runs = wanted.getAll("run");
    const comparison = wanted.get("comparison");
    if (wanted.has("batch")) {
      this.compare.setMode("many");
      this.compare.batch.show(wanted.get("batch"));
    } else if (comparison || runs.length) this.load({ comparison, runs, models: models(wanted) });
    else this.setUp(wanted);
  }

  // An empty view goes on with what the playground shows.
  handedOver() {
    const { shell, blank } = this.compare;
    const params = blank && shell.views.made.get("playground")?.deeds.handover();
    return params && [...params].length ? params : null;
  }

  // A comparison of the history, or runs that are put side by side; of one run the other column is yet to be asked.
  async load({ comparison, runs, models: named }) {
    const { compare } = this;
    compare.setMode("one");
    compare.form.fail("");
    try {
      const ids = comparison ? (await ask(`/api/comparisons/${encodeURIComponent(comparison)}`)).runs : runs;
      const loaded = await loadRuns(ids.slice(0, MOST), Math.round(compare.sides[0].column.viewer.zoom.width) || undefined);
      await this.restore(loaded, comparison, named);
    } catch (error) {
      if (!("status" in error)) throw error;
      compare.fail(error.message || compare.shell.words.offline_short);
    }
  }

  async restore(loaded, comparison, named) {
    const { compare } = this;
    const alone = loaded.length < FEWEST;
    compare.fill(Math.max(FEWEST, loaded.length));
    compare.edits = false;
    await compare.image.use(loaded.find(({ picture }) => picture)?.picture.hash ?? NO_IMAGE);
    compare.form.take(loaded[0].ask);
    compare.comparison = comparison;
    compare.findings.fresh();
    loaded.forEach(({ run, ask: asked, begin, fragments }, index) => {
      const side = compare.sides[index];
      compare.wish(side, run.model, run.variant);
      side.setOwn(differences(loaded[0].ask, asked));
      side.begin(begin);
      side.restore(fragments, run.state);
    });
    if (alone) this.besides(compare.sides[1], named[1]);
    compare.draw();
    await compare.findings.look();
  }

  // The run that is there is not asked again; the other column is to ask another model the same.
  besides(other, label) {
    const { compare } = this;
    other.clear();
    other.setOwn({});
    if (label) compare.wish(other, ...split(label));
    else if (other.wanted.model === compare.sides[0].wanted.model) other.wanted = { model: null, variant: "" };
    compare.suggest(other);
    compare.runs.bring(compare.sides[0]);
    this.write();
    compare.root.querySelector("[data-do='run']").focus({ preventScroll: true });
  }

  // What is to be asked, without any run.
  async setUp(params) {
    const { compare } = this;
    compare.setMode(params.get("mode") === "many" ? "many" : "one");
    // First, because a new image takes references of the old one away.
    if (params.get("image")) await compare.image.use(params.get("image"));
    if ([...params].some(([name]) => name !== "mode")) compare.form.take(askOf(params));
    if (params.get("model")) compare.wish(compare.sides[0], params.get("model"), params.get("variant"));
    const wanted = models(params);
    if (wanted.length) compare.fill(Math.min(MOST, Math.max(FEWEST, wanted.length)));
    wanted.forEach((label, index) => {
      if (!label) return;
      compare.wish(compare.sides[index], ...split(label));
      compare.sides[index].setOwn(Object.fromEntries(
        [...params].filter(([name]) => name.startsWith(`c${index}.`)).map(([name, value]) => [name.slice(3), value]),
      ));
    });
    if (compare.mode === "many") await compare.batch.list();
    compare.draw();
  }

  get params() {
    const { comparison, edits, mode, sides, batch, runs: asked } = this.compare;
    if (mode === "many") return batch.id ? { batch: batch.id } : [["mode", "many"], ...this.setup];
    if (comparison) return { comparison };
    if (asked.brought === sides[0] && asked.due.length < sides.length) return { run: sides[0].runId, c1: sides[1].label };
    const runs = sides.map((side) => side.runId).filter(Boolean);
    return edits || runs.length < FEWEST ? this.setup : runs.map((id) => ["run", id]);
  }

  get setup() {
    const { form, image, sides } = this.compare;
    const params = paramsOf(form.draft());
    if (image.hash) params.set("image", image.hash);
    sides.forEach((side, index) => {
      if (side.label) params.set(`c${index}`, side.label);
      for (const [name, value] of Object.entries(side.ownValues())) params.set(`c${index}.${name}`, value);
    });
    return params;
  }

  write({ push = false } = {}) {
    const { root, shell, writing } = this.compare;
    clearTimeout(writing);
    if (root.hidden) return;
    const params = new URLSearchParams(this.params);
    this.at = params.toString();
    if (push) shell.views.push(params);
    else shell.go("compare", params, { replace: true });
  }
}

// The labels of the columns' models, by column; those that the address leaves out are undefined.
function models(params) {
  const named = [...Array(MOST).keys()].map((index) => params.get(`c${index}`) ?? undefined);
  return named.slice(0, named.findLastIndex(Boolean) + 1);
}

// A model, and after a plus its adapter.
function split(label) {
  const [model, ...variant] = label.split("+");
  return [model, variant.join("+")];
}
