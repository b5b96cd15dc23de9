// The playground's state in the address, and back: image, skill, prompt, model, settings, places, and the run that is
// shown. Back, forward, a reload and a link all lead through here.
import { ask } from "./api.js";
import { askOf, paramsOf } from "./address.js";
import { seedless } from "./seed.js";

export class Restore {
  constructor(playground) {
    this.playground = playground;
    this.wanted = null;
  }

  params() {
    const { form, objects, options, references, intake, column, shell } = this.playground;
    // Of an empty page there is nothing to say.
    if (!intake.image && !form.prompt?.value && !objects.names.length) return new URLSearchParams();
    const parts = { ...form.request(), ...objects.request(), ...shell.models.request(), ...references.request() };
    const params = paramsOf(form.skill === "query" ? { ...parts, ...options.draft() } : parts);
    if (intake.image?.hash || intake.imageless) params.set("image", intake.image?.hash ?? "none");
    if (column.run?.id) params.set("run", column.run.id);
    return params;
  }

  async take(params) {
    if (![...params].length || params.toString() === this.params().toString()) return;
    const { column, intake } = this.playground;
    const run = params.get("run");
    if (run && run !== column.run?.id) {
      if (await this.run(run)) return;
    } else if (!run && column.run) {
      this.playground.stop();
      column.clear();
      this.playground.inspect.clear();
      this.playground.deeds.show(null);
    }
    const image = params.get("image");
    if (image === "none") intake.close(true);
    else if (image) await intake.fromHash(image, "");
    this.form(askOf(params));
  }

  form(ask) {
    const { references, shell } = this.playground;
    if (ask.model) shell.models.prefer(ask.model, ask.variant);
    this.words(ask);
    references.take(ask);
  }

  // A run is asked again: its seed is part of it until something of it is changed.
  again(ask) {
    this.form(seedless(ask));
    this.playground.seed.take(ask);
  }

  // The words and the settings alone.
  words(ask) {
    const { form, objects, options } = this.playground;
    form.put(ask.objects ? { ...ask, question: undefined, object: "" } : ask);
    objects.take(ask.objects ?? []);
    options.put(ask);
  }

  // Shows a run of the history as it ended. False when it is not there.
  async run(id) {
    this.wanted = id;
    try {
      await this.show(id);
    } catch (error) {
      if (error.status === undefined) throw error;
      const { shell, words } = this.playground;
      shell.toast(error.status === 404 ? words.run_gone : error.message || words.offline_short, { kind: "error" });
      return false;
    }
    return true;
  }

  // The image comes first: how wide it is shown decides where its labels are.
  async show(id) {
    const { column, deeds, inspect, intake, objects, words } = this.playground;
    const record = await ask(`/api/runs/${encodeURIComponent(id)}`);
    await this.playground.ended();
    if (this.wanted !== id) return;
    const { picture, prompt, title } = record;
    if (!picture) intake.close(true);
    else if (!(await intake.fromHash(picture.hash, prompt || title))) {
      throw Object.assign(new Error(words.image_gone), { status: 0 });
    }
    const timeline = await inspect.replay.fetch(id);
    if (this.wanted !== id) return;
    this.again(record.ask);
    const begin = { ...timeline, id, ask: record.ask };
    column.begin(begin);
    column.root.classList.add("restoring");
    deeds.show(begin);
    objects.tint(timeline.parts);
    inspect.show(id, timeline);
    inspect.replay.replay.seek(timeline.duration_ms);
    column.settle(record.state);
    requestAnimationFrame(() => requestAnimationFrame(() => column.root.classList.remove("restoring")));
    this.playground.write();
  }
}
