// What all columns of a comparison ask: the skill, the prompt, the settings. Throws nothing away when the skill
// changes; what does not belong to a skill is not sent.
import { ComparePresets } from "./compare_presets.js";
import { say } from "./say.js";

const WITH_PROMPT = ["query", "point", "detect", "segment"];
const WITH_PLACES = ["query", "point", "segment"];

export class CompareForm {
  // `run` and `stop` are asked for; `changed()` is told of every edit.
  constructor(root, { words, run, changed }) {
    Object.assign(this, { root, words, changed });
    this.form = root.querySelector(".ask");
    this.fields = this.form.elements;
    this.prompt = this.fields.prompt;
    this.tabs = [...root.querySelectorAll("[data-tab]")];
    this.settings = [...root.querySelectorAll("[data-setting]")];
    this.seed = undefined; // of a run that was taken over; nobody has set it here
    this.extra = {}; // of an ask that was taken over: references and the source of a gaze
    this.presets = new ComparePresets(this.fields.preset, { own: words.own_presets, take: (ask) => this.fill(ask) });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    this.form.addEventListener("input", ({ target }) => {
      if (target !== this.fields.preset) this.fields.preset.value = "";
      this.edited();
    });
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      run();
    });
    for (const tab of this.tabs) tab.addEventListener("click", () => this.choose(tab.dataset.tab));
    root.querySelector(".tabs").addEventListener("keydown", (event) => this.tabKey(event));
    root.querySelector("[data-do='reset']").addEventListener("click", () => this.reset());
    this.select("query");
  }

  get skill() {
    return this.form.dataset.skill;
  }

  get settingNames() {
    return this.settings.filter((box) => box.dataset.skills.split(" ").includes(this.skill)).map((box) => box.dataset.setting);
  }

  choose(skill) {
    this.select(skill);
    this.changed();
  }

  select(skill) {
    this.form.dataset.skill = skill;
    for (const tab of this.tabs) {
      const chosen = tab.dataset.tab === skill;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) this.form.setAttribute("aria-labelledby", tab.id);
    }
    for (const part of this.form.querySelectorAll("[data-only]")) part.hidden = !part.dataset.only.split(" ").includes(skill);
    for (const box of this.settings) {
      const field = box.querySelector("input");
      box.hidden = !this.settingNames.includes(box.dataset.setting);
      field.placeholder = field.getAttribute(`data-default-${skill}`) ?? "";
    }
    this.presets.use(skill);
    this.prompt.placeholder = this.words.placeholders[skill] ?? "";
    this.fail("");
    this.draw();
  }

  // The skills that at least one of the models has.
  offer(skills) {
    for (const tab of this.tabs) tab.hidden = skills.length > 0 && !skills.includes(tab.dataset.tab);
    const left = this.tabs.filter((tab) => !tab.hidden);
    if (left.length && !left.some((tab) => tab.dataset.tab === this.skill)) this.select(left[0].dataset.tab);
  }

  tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const tabs = this.tabs.filter((tab) => !tab.hidden);
    const at = tabs.findIndex((tab) => tab.dataset.tab === this.skill);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    this.choose(next.dataset.tab);
    next.focus();
  }

  edited() {
    this.fail("");
    this.draw();
    this.changed();
  }

  draw() {
    const { seed, ...changed } = this.changedSettings();
    const n = Object.keys(changed).length + (seed !== undefined && seed !== this.seed ? 1 : 0);
    const badge = this.root.querySelector(".changed");
    badge.textContent = String(n);
    badge.hidden = n === 0;
    this.root.querySelector(".schema").hidden = this.skill !== "query" || this.fields.format.value !== "schema";
  }

  reset() {
    for (const box of this.settings) box.querySelector("input").value = "";
    this.edited();
  }

  changedSettings() {
    const shown = this.settings.filter((box) => !box.hidden).map((box) => box.querySelector("input"));
    const changed = shown.filter((field) => field.value !== "" || field.validity.badInput);
    return Object.fromEntries(changed.map((field) => [field.name, field.validity.badInput ? "?" : field.value]));
  }

  // The shared part of an ask; null, with the reason beside the prompt, if it is not one yet. `lacksPrompt`: every
  // column has a prompt of its own.
  request({ lacksPrompt = false } = {}) {
    const { skill } = this;
    const text = this.prompt.value.trim();
    if (WITH_PROMPT.includes(skill) && !text && !lacksPrompt) return this.refuse(this.words.missing_prompt[skill]);
    const ask = { skill, settings: this.changedSettings(), ...this.extra };
    if (skill === "query") return this.query(ask, text);
    if (skill === "caption") return { ...ask, length: this.fields.length.value };
    if (skill === "gaze") {
      if (!ask.eye && !ask.face) return this.refuse(this.words.missing_eye);
      return { ...ask, force: this.fields.force.checked };
    }
    return { ...ask, ...objects(text) };
  }

  query(ask, text) {
    const asked = { ...ask, question: text, reasoning: this.fields.reasoning.checked, format: this.fields.format.value };
    if (asked.format !== "schema") return asked;
    try {
      JSON.parse(this.fields.schema.value);
    } catch (error) {
      return this.refuse(say(this.words.schema_not_json, { reason: error.message }));
    }
    return { ...asked, schema: this.fields.schema.value };
  }

  refuse(text) {
    this.fail(text);
    if (WITH_PROMPT.includes(this.skill)) this.prompt.focus();
    return null;
  }

  // Shows an ask, as one of the history or of the playground.
  take(ask) {
    if (this.tabs.some((tab) => tab.dataset.tab === ask.skill)) this.select(ask.skill);
    const { fields } = this;
    fields.prompt.value = ask.question ?? ask.objects?.join(", ") ?? ask.object ?? "";
    if (ask.reasoning !== undefined) fields.reasoning.checked = ask.reasoning === true;
    fields.format.value = ask.format ?? "text";
    fields.schema.value = ask.schema ?? "";
    if (ask.force !== undefined) fields.force.checked = ask.force === true;
    if (["short", "normal", "long"].includes(ask.length)) fields.length.value = ask.length;
    for (const box of this.settings) {
      const field = box.querySelector("input");
      field.value = ask.settings?.[field.name] ?? "";
    }
    this.seed = ask.settings?.seed === undefined ? undefined : String(ask.settings.seed);
    const { refs, eye, face } = ask;
    this.extra = Object.fromEntries(Object.entries({ refs, eye, face }).filter(([, value]) => value));
    this.draw();
  }

  // A preset: what it does not say stays.
  fill(ask) {
    const { skill } = this;
    const said = Object.fromEntries(Object.entries(ask).filter(([, value]) => value !== undefined));
    const prompt = said.question ?? said.object ?? said.objects;
    this.take({ ...this.draft(), ...(prompt && { question: undefined, object: undefined, objects: undefined }), ...said, skill });
    this.edited();
  }

  // What is there, whether it could be asked or not.
  draft() {
    const { skill, fields } = this;
    const text = this.prompt.value.trim();
    const ask = { skill, settings: this.changedSettings(), ...this.extra };
    if (skill === "query") {
      const { format, schema, reasoning } = fields;
      Object.assign(ask, { question: text, reasoning: reasoning.checked, format: format.value });
      if (format.value === "schema") ask.schema = schema.value;
    } else if (skill === "caption") ask.length = fields.length.value;
    else if (skill === "gaze") ask.force = fields.force.checked;
    else Object.assign(ask, objects(text));
    return ask;
  }

  // The places that the question refers to.
  get places() {
    const { refs = [], eye, face } = this.extra;
    const gaze = [["eye", eye], ["face", face]].filter(([, at]) => at);
    if (this.skill === "gaze") return gaze.map(([kind, at]) => ({ kind, at }));
    return WITH_PLACES.includes(this.skill) ? refs.map((at) => ({ kind: "place", at })) : [];
  }

  // What is asked, in a few words.
  get title() {
    return WITH_PROMPT.includes(this.skill) ? this.prompt.value.trim() : "";
  }

  fail(text) {
    this.root.querySelector("#cmp-prompt-error").textContent = text;
    if (text) this.prompt.setAttribute("aria-invalid", "true");
    else this.prompt.removeAttribute("aria-invalid");
  }

  // What Run is called.
  call(text) {
    this.root.querySelector("[data-do='run'] span").textContent = text;
  }

  busy(running) {
    const [start, stop] = ["run", "stop"].map((act) => this.root.querySelector(`[data-do="${act}"]`));
    const focused = [start, stop].includes(document.activeElement);
    start.hidden = running;
    stop.hidden = !running;
    if (focused) (running ? stop : start).focus({ preventScroll: true });
  }
}

// Several things, separated by commas, are looked for one by one.
function objects(text) {
  const names = [...new Set(text.split(",").map((name) => name.trim()).filter(Boolean))];
  return names.length > 1 ? { objects: names } : { object: names[0] ?? "" };
}
