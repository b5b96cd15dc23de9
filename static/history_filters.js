// The filters of the history: words, skill, model, tag, dates, pinned. Their names are those of the address.
import { say } from "./say.js";
import { sideways } from "./sideways.js";

const FIELDS = ["q", "skill", "model", "tag", "since", "until", "pinned"];

export class Filters {
  // `named(model)` is what people call a model.
  constructor(root, { words, changed, named }) {
    Object.assign(this, { root, words, named });
    this.form = root.querySelector(".hi-filters");
    this.search = this.form.elements.q;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.draw(changed));
    this.changed = changed;
    sideways(this.form.querySelector(".hi-facets"));
    this.draw();
  }

  // What is set, by name.
  get values() {
    const all = FIELDS.map((name) => [name, this.read(name)]);
    return Object.fromEntries(all.filter(([, value]) => value !== ""));
  }

  // The same as the server is asked: days are those of this clock.
  get query() {
    const { since, until, ...rest } = this.values;
    if (since) rest.since = new Date(`${since}T00:00:00`).toISOString();
    if (until) rest.until = new Date(`${until}T23:59:59.999`).toISOString();
    return rest;
  }

  get any() {
    return Object.keys(this.values).length > 0;
  }

  read(name) {
    const field = this.form.elements[name];
    if (field.type === "checkbox") return field.checked ? field.value : "";
    return field.value.trim();
  }

  // Takes the filters of an address; true if they are others than before.
  take(params) {
    const before = JSON.stringify(this.values);
    for (const name of FIELDS) {
      const field = this.form.elements[name];
      const value = params.get(name) ?? "";
      if (field.type === "checkbox") field.checked = value !== "" && value !== "0";
      else {
        if (field.matches("select") && value && ![...field.options].some((option) => option.value === value)) {
          field.append(new Option(value, value));
        }
        field.value = value;
      }
    }
    this.draw();
    return JSON.stringify(this.values) !== before;
  }

  clear() {
    this.take(new URLSearchParams());
    this.changed();
    this.search.focus();
  }

  focus() {
    this.search.focus();
    this.search.select();
  }

  clearSearch() {
    this.search.value = "";
    this.draw(this.changed);
  }

  // The skills, models and tags that there are, with how many runs each has.
  offer(facets = {}) {
    for (const select of this.form.querySelectorAll("select")) {
      const found = pairs(facets[select.dataset.facet] ?? facets[`${select.dataset.facet}s`]);
      const chosen = select.value;
      if (chosen && !found.some(([value]) => value === chosen)) found.push([chosen, 0]);
      const name = { skill: (value) => this.words.skills[value] ?? value, model: this.named }[select.name] ?? String;
      const options = found.map(([value, n]) => new Option(n ? `${name(value)}  ${n.toLocaleString()}` : name(value), value, false, value === chosen));
      select.replaceChildren(select.options[0], ...options);
      select.closest("label").hidden = found.length === 0;
    }
    const known = this.root.querySelector("#hi-known-tags");
    known.replaceChildren(...pairs(facets.tag ?? facets.tags).map(([tag]) => new Option(tag, tag)));
    this.draw();
  }

  count(n) {
    this.root.querySelector(".hi-count").textContent = say(this.words.count, { n });
  }

  draw(then) {
    const { since, until } = this.values;
    const sentence = since && until ? "between" : since ? "since" : until ? "until" : "any_date";
    const said = { since: since && shortDate(since), until: until && shortDate(until) };
    this.root.querySelector(".hi-dates-said").textContent = say(this.words[sentence], said);
    this.root.querySelector(".hi-clear").hidden = !this.any;
    for (const field of this.form.querySelectorAll("select")) field.classList.toggle("set", field.value !== "");
    this.root.querySelector(".hi-dates > button").classList.toggle("set", Boolean(since || until));
    then?.();
  }
}

// Facets as [value, count], however they are written.
function pairs(facet) {
  if (!facet) return [];
  if (!Array.isArray(facet)) return Object.entries(facet);
  return facet.map((entry) => (Array.isArray(entry) ? entry : [entry.value ?? entry.name ?? entry, entry.count ?? entry.runs ?? 0]));
}

function shortDate(text) {
  const [year, month, day] = text.split("-").map(Number);
  return new Date(year, month - 1, day).toLocaleDateString(undefined, { day: "numeric", month: "short" });
}
