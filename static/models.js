// The model picker: a button that opens a list. Says how near each model is to answering, remembers the choice.
const KEY = "dreamscope-model";
const LOADABLE = ["ready", "download", "failed"];

export class Models {
  // `confirm(model, go)` asks whether the model may be downloaded, and goes on if so.
  constructor(root, { chosen, load, confirm }) {
    Object.assign(this, { root, load });
    this.agreed = new Set(); // models that may be downloaded
    this.confirm = (model, go) => confirm(model, () => {
      this.agreed.add(model.id);
      go();
    });
    this.told = chosen;
    this.button = root.querySelector("#ds-model");
    this.list = root.querySelector("#ds-models");
    this.bar = root.querySelector(".model-progress");
    this.variant = root.querySelector("#ds-variant");
    this.models = [];
    this.progress = {};
    this.id = null;
    this.active = null;
    this.button.addEventListener("click", () => this.toggle(this.list.hidden));
    this.button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      this.toggle(true);
    });
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => this.choose(event.target.closest("[data-model]")?.dataset.model));
    this.list.addEventListener("focusout", (event) => {
      if (event.relatedTarget !== this.button) this.toggle(false, false);
    });
  }

  get model() {
    return this.models.find(({ id }) => id === this.id);
  }

  // What a run says about its model. Until the engine has told its models, that is what a link names.
  request() {
    const { id, variant } = !this.models.length && this.preferred ? this.preferred : { id: this.id, variant: this.variant.value };
    return { ...(id && { model: id }), ...(variant && { variant }) };
  }

  // A model that has this skill: one that is loaded before others, one that has to be downloaded last. Never one
  // elsewhere: an image leaves this machine only when somebody chooses so.
  able(skill) {
    const rank = ({ loaded, state }) => (loaded ? 0 : state === "download" ? 2 : 1);
    const usable = ({ skills, state, endpoint }) => !endpoint && skills.includes(skill) && LOADABLE.includes(state);
    return this.models.filter(usable).sort((one, other) => rank(one) - rank(other))[0];
  }

  // Goes on with the chosen model, if need be after the question whether it may be downloaded.
  allowed(go) {
    const { model } = this;
    if (model?.state === "download" && !this.agreed.has(model.id)) this.confirm(model, go);
    else go();
  }

  // The engine's list, at first or after a change. A choice that went away falls back to the default.
  show(models) {
    this.models = models;
    const usable = ({ state }) => state !== "unavailable";
    const wanted = [this.preferred?.id, this.id, localStorage.getItem(KEY)];
    const known = wanted.map((id) => models.find((model) => model.id === id && usable(model))).find(Boolean);
    const fallback = models.find((model) => model.default && usable(model)) ?? models.find(usable) ?? models[0];
    for (const { id, state } of models) if (state !== "loading") delete this.progress[id];
    this.button.disabled = models.length === 0;
    this.select((known ?? fallback)?.id ?? null);
  }

  // A link names a model: it is chosen now, or as soon as it is known. What the browser remembers stays.
  prefer(id, variant = "") {
    this.preferred = { id, variant };
    if (this.models.some((model) => model.id === id && model.state !== "unavailable")) this.select(id);
  }

  // A step of loading: which share of the bytes is there, if that is known.
  step({ model, detail, done }) {
    this.progress[model] = { detail, done };
    this.draw();
  }

  select(id) {
    const changed = id !== this.id;
    this.id = id;
    const adapters = this.model?.adapters ?? [];
    const before = this.preferred?.id === id ? this.preferred.variant : changed ? "" : this.variant.value;
    if (this.preferred?.id === id) this.preferred = null;
    const none = this.variant.options[0];
    this.variant.replaceChildren(none, ...adapters.map((name) => new Option(name, name, false, name === before)));
    this.variant.closest("label").hidden = adapters.length === 0;
    this.draw();
    if (this.model) this.told(this.model);
  }

  // `then()` is called once it is chosen, which may be after the question whether it may be downloaded.
  choose(id, then = () => {}) {
    const model = this.models.find((other) => other.id === id);
    if (!model || model.state === "unavailable") return;
    this.toggle(false);
    const go = () => {
      this.take(model);
      then();
    };
    if (model.state === "download" && !this.agreed.has(id)) this.confirm(model, go);
    else go();
  }

  take({ id, loaded, state }) {
    localStorage.setItem(KEY, id);
    this.select(id);
    if (!loaded && LOADABLE.includes(state)) this.load(id);
  }

  draw() {
    const { model } = this;
    this.root.querySelector(".model-name").textContent = model?.name ?? "–";
    const step = this.progress[this.id];
    this.bar.hidden = !model || model.loaded || !(step || model.state === "loading");
    fill(this.bar, step?.done);
    this.list.replaceChildren(...this.models.map((other, index) => this.option(other, index)));
    this.mark(this.active);
  }

  option(model, index) {
    const option = element("div", "model-option", { role: "option", id: `ds-model-${index}` });
    option.dataset.model = model.id;
    option.dataset.state = model.loaded ? "loaded" : model.state;
    option.setAttribute("aria-selected", String(model.id === this.id));
    option.setAttribute("aria-disabled", String(model.state === "unavailable"));
    const step = this.progress[model.id];
    option.append(element("b", "", {}, model.name), element("span", "model-note", {}, model.note));
    const said = step?.detail || model.reason || model.description;
    if (said) option.append(element("small", "", {}, said));
    if (step && !model.loaded) {
      const bar = element("progress", "", { max: "1" });
      fill(bar, step.done);
      option.append(bar);
    }
    return option;
  }

  toggle(open, refocus = true) {
    if (this.list.hidden === !open) return;
    this.list.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    this.mark(open ? this.id : null);
    if (open) this.list.focus();
    else if (refocus) this.button.focus();
  }

  // The option that the keyboard is at.
  mark(id) {
    this.active = id;
    for (const option of this.list.children) option.classList.toggle("active", option.dataset.model === id);
    const at = [...this.list.children].find((option) => option.dataset.model === id);
    if (at) this.list.setAttribute("aria-activedescendant", at.id);
    else this.list.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const at = this.models.findIndex(({ id }) => id === this.active);
    const last = this.models.length - 1;
    const to = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
    if (to !== undefined) this.mark(this.models[to].id);
    else if (event.key === "Enter" || event.key === " ") this.choose(this.active);
    else if (event.key === "Escape") this.toggle(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// Without a share the bar only says that something goes on.
function fill(bar, done) {
  if (done === undefined || done === null) bar.removeAttribute("value");
  else bar.value = done;
}

function element(name, className, attributes, text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}
