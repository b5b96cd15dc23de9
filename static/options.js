// What a question may carry besides its words: a preset that fills the form, and the form of the answer.
const SCHEMA = "schema";

export class Options {
  constructor(root, { words, fill }) {
    Object.assign(this, { root, words, fill });
    this.preset = root.querySelector("#ds-preset");
    this.format = root.querySelector("#ds-format");
    this.schema = root.querySelector("#ds-schema");
    this.presets = [];
    this.preset.addEventListener("change", () => this.take());
    this.format.addEventListener("change", () => this.showSchema());
    // A preset that was changed is one's own question.
    root.querySelector(".ask").addEventListener("input", (event) => {
      if (event.target !== this.preset && !event.target.closest(".setting")) this.preset.value = "";
    });
    this.offer([]);
  }

  offer(presets) {
    const chosen = this.preset.value;
    const [none] = this.preset.options;
    this.presets = presets.filter(({ skill }) => skill === "query");
    this.preset.replaceChildren(none, ...this.presets.map(({ id, name }) => new Option(name, id, false, id === chosen)));
    this.preset.closest("label").hidden = this.presets.length === 0;
  }

  take() {
    const preset = this.presets.find(({ id }) => id === this.preset.value);
    if (!preset) return;
    const { type = "text", schema } = preset.response_format ?? {};
    const option = [...this.format.options].find(({ value }) => FORMS[value] === type);
    this.format.value = option?.value ?? "text";
    if (schema) this.schema.value = JSON.stringify(schema, null, 2);
    this.showSchema();
    this.fill(preset);
  }

  showSchema() {
    this.root.querySelector(".schema").hidden = this.format.value !== SCHEMA;
  }

  reset() {
    this.preset.value = "";
  }

  // The part of a run message; throws an error with a `field` if the schema is none.
  request() {
    const request = { format: this.format.value };
    if (this.preset.value) request.preset = this.preset.value;
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
