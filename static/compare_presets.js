// The presets of the skill: those of the engine, and the person's own, which the playground saves.
import { formatOf } from "./compare_load.js";
import { ownPresets } from "./presets.js";

export class ComparePresets {
  // `take(ask)` puts into the form what a preset says; `own` names the group of the person's own.
  constructor(select, { own, take }) {
    Object.assign(this, { select, own, take });
    this.presets = [];
    this.skill = "";
    select.addEventListener("change", () => this.chosen && take(this.chosen));
    select.addEventListener("pointerdown", () => this.draw());
    select.addEventListener("focus", () => this.draw());
  }

  // The engine's, of all skills.
  offer(presets) {
    this.presets = presets;
    this.draw();
  }

  use(skill) {
    this.skill = skill;
    this.draw();
  }

  // What there is to choose now, by value.
  get asks() {
    const engine = this.presets.map((preset) => [preset, `engine:${preset.id}`, asked(preset)]);
    const own = ownPresets().map((preset) => [preset, `own:${preset.name}`, preset.ask]);
    return [...engine, ...own].filter(([{ skill }]) => skill === this.skill);
  }

  get chosen() {
    return this.asks.find(([, value]) => value === this.select.value)?.[2];
  }

  draw() {
    const { value, options: [none] } = this.select;
    const made = this.asks.map(([{ name }, key]) => new Option(name, key, false, key === value));
    const group = Object.assign(document.createElement("optgroup"), { label: this.own });
    group.append(...made.filter((option) => option.value.startsWith("own:")));
    this.select.replaceChildren(none, ...made.filter((option) => !option.parentNode), ...(group.firstChild ? [group] : []));
    this.select.closest("label").hidden = made.length === 0;
  }
}

// Fields that the preset leaves open stay as they are.
function asked({ question, reasoning, response_format: format }) {
  const said = { question, object: question, reasoning: reasoning ?? undefined };
  if (!format) return said;
  return { ...said, format: formatOf(format), schema: format.schema && JSON.stringify(format.schema, null, 2) };
}
