// What a request may start from and carry besides its words: a preset that fills the form, one of the engine's or of
// the person's own, and for a question the form of its answer.
import { OwnPresets } from "./presets.js";

const SCHEMA = "schema";

export class Options {
  // `fill(preset)` puts one of the engine's into the form, `put(ask)` one of the person's own, which `draft()` says.
  constructor(root, { words, fill, put, draft }) {
    Object.assign(this, { root, words, fill, restore: put });
    this.preset = root.querySelector("#ds-preset");
    this.format = root.querySelector("#ds-format");
    this.schema = root.querySelector("#ds-schema");
    this.presets = [];
    this.skill = "query";
    this.own = new OwnPresets(root, { words: words.presets, draft, changed: (value) => this.draw(value) });
    this.preset.addEventListener("change", () => this.take());
    this.format.addEventListener("change", () => this.showSchema());
    // A preset that was changed is one's own question. The engine's say nothing of settings.
    root.querySelector(".ask").addEventListener("input", ({ target }) => {
      const apart = this.named ? ".setting, .own-presets" : ".own-presets";
      if (target !== this.preset && !target.closest(apart)) this.preset.value = "";
    });
    this.draw();
  }

  // The engine's presets, of all skills.
  offer(presets) {
    this.presets = presets;
    this.draw();
  }

  use(skill) {
    this.skill = skill;
    this.draw();
  }

  draw(chosen = this.preset.value) {
    const [none] = this.preset.options;
    const offered = this.presets.filter(({ skill }) => skill === this.skill);
    const own = this.own.of(this.skill);
    const options = offered.map(({ id, name }) => new Option(name, id));
    if (own.length) {
      const group = Object.assign(document.createElement("optgroup"), { label: this.words.presets.own });
      group.append(...own.map(({ name, value }) => new Option(name, value)));
      options.push(group);
    }
    this.preset.replaceChildren(none, ...options);
    this.choose(chosen);
    this.preset.closest("label").hidden = options.length === 0;
    this.own.draw(this.skill);
  }

  // None, if it is not there any more.
  choose(value) {
    const there = [...this.preset.options].some((option) => option.value === value);
    this.preset.value = there ? value : "";
  }

  take() {
    const { value } = this.preset;
    const own = this.own.of(this.skill).find((one) => one.value === value);
    if (own) {
      this.restore({ ...own.ask, skill: this.skill });
      this.choose(value);
    }
    const preset = this.presets.find(({ id, skill }) => id === value && skill === this.skill);
    if (!preset) return;
    const { type = "text", schema } = preset.response_format ?? {};
    const option = [...this.format.options].find((one) => FORMS[one.value] === type);
    this.format.value = option?.value ?? "text";
    if (schema) this.schema.value = JSON.stringify(schema, null, 2);
    this.showSchema();
    this.fill(preset);
  }

  // Takes over the format of an ask; a preset only if the engine still has it.
  put({ format = "text", schema, preset = "" }) {
    this.format.value = format;
    if (schema) this.schema.value = schema;
    this.choose(preset);
    this.showSchema();
  }

  // The id of the engine's preset that is chosen, which the request names.
  get named() {
    return this.presets.some(({ id }) => id === this.preset.value) ? this.preset.value : "";
  }

  showSchema() {
    this.root.querySelector(".schema").hidden = this.format.value !== SCHEMA;
  }

  reset() {
    this.preset.value = "";
  }

  // The same as `request`, whether it can be asked or not.
  draft() {
    const schema = this.format.value === SCHEMA ? { schema: this.schema.value } : {};
    return { format: this.format.value, preset: this.named, ...schema };
  }

  // The part of a run message; throws an error with a `field` if the schema is none.
  request() {
    const request = { format: this.format.value };
    if (this.named) request.preset = this.named;
    if (this.format.value === SCHEMA) request.schema = this.checked(this.schema.value);
    return request;
  }

  checked(text) {
    let parsed;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      throw misfit(this.words.schema_not_json.replace("{reason}", error.message));
    }
    if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) throw misfit(this.words.schema_no_object);
    return text;
  }
}

// The values of the menu by the `type` that the engine calls them.
const FORMS = {
  text: "text", json: "json_object", schema: "json_schema", xml: "xml", markdown: "markdown", csv: "csv",
};

function misfit(text) {
  return Object.assign(new Error(text), { field: SCHEMA });
}
