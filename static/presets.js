// The person's own presets: what the form says, under a name, for each skill. This browser remembers them.
import { recall, remember } from "./prefs.js";
import { say } from "./say.js";

const KEY = "presets";
const MOST = 50;
const OWN = "own:";

export class OwnPresets {
  // `draft()` is what the form says now; `changed(value)` is told which of them is to be chosen, "" for none.
  constructor(root, { words, draft, changed }) {
    Object.assign(this, { words, draft, changed });
    this.box = root.querySelector("#ds-presets");
    this.field = this.box.querySelector("input");
    this.list = this.box.querySelector("ul");
    this.said = this.box.querySelector("[role='status']");
    this.box.querySelector("[data-act='save-preset']").addEventListener("click", () => this.save());
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      this.save();
    });
    this.list.addEventListener("click", (event) => {
      const { name } = event.target.closest("[data-preset]")?.dataset ?? {};
      if (name !== undefined) this.remove(name);
    });
    this.box.addEventListener("beforetoggle", ({ newState }) => newState === "open" && (this.said.textContent = ""));
  }

  get all() {
    return ownPresets();
  }

  // Those of one skill, in the order in which they were saved: {value, name, ask}.
  of(skill) {
    return this.all.filter((one) => one.skill === skill).map((one) => ({ ...one, value: OWN + one.name }));
  }

  // The same name again replaces what it stood for.
  save() {
    const name = this.field.value.trim().replace(/\s+/g, " ");
    const { all } = this;
    const ask = this.draft();
    const others = all.filter((one) => one.skill !== ask.skill || !alike(one.name, name));
    if (!name) this.tell(this.words.nameless);
    else if (others.length >= MOST) this.tell(this.words.most, { most: MOST });
    else {
      remember(KEY, { list: [...others, { skill: ask.skill, name, ask }] });
      this.field.value = "";
      this.changed(OWN + name);
      this.tell(this.words.saved, { name });
    }
    this.field.focus();
  }

  remove(name) {
    const { skill } = this.draft();
    remember(KEY, { list: this.all.filter((one) => one.skill !== skill || one.name !== name) });
    this.changed("");
    this.tell(this.words.deleted, { name });
    this.field.focus();
  }

  tell(sentence, values) {
    this.said.textContent = say(sentence, values);
  }

  // Lists those of the skill, each with a button that deletes it.
  draw(skill) {
    this.list.replaceChildren(...this.of(skill).map(({ name }) => this.entry(name)));
    this.list.hidden = this.list.childElementCount === 0;
  }

  entry(name) {
    const entry = document.createElement("li");
    const label = say(this.words.delete, { name });
    const button = Object.assign(document.createElement("button"), { type: "button", className: "chip-remove", title: label });
    button.dataset.preset = "";
    button.dataset.name = name;
    button.setAttribute("aria-label", label);
    button.append("×");
    entry.append(name, button);
    return entry;
  }
}

// What this browser remembers: {skill, name, ask}.
export function ownPresets() {
  const { list } = recall(KEY, {});
  return Array.isArray(list) ? list.filter((one) => typeof one?.name === "string" && one.ask) : [];
}

function alike(one, other) {
  return one.toLowerCase() === other.toLowerCase();
}
