// Several objects in one run: a comma ends a name and makes it a chip; each chip can be switched off or removed.
// What stands in the field after the chips is one more name.
import { say } from "./say.js";

const SKILLS = ["point", "detect", "segment"];
const MOST = 8;

export class Objects {
  constructor(root, { words, form }) {
    Object.assign(this, { root, words, form });
    this.list = root.querySelector(".chips");
    this.fields = SKILLS.map((skill) => root.querySelector(`[data-prompt="${skill}"]`));
    for (const field of this.fields) field.dataset.alone = field.placeholder;
    this.names = []; // {name, on}
    this.colours = new Map(); // by name, as runs have shown them
    form.form.addEventListener("input", (event) => event.target.matches("[data-prompt]") && this.split(event.target));
    form.form.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => this.click(event));
  }

  // A name that is not a chip yet may hold commas only while it is typed.
  split(field) {
    if (!SKILLS.includes(this.form.skill) || !field.value.includes(",")) return;
    const pieces = field.value.split(",");
    const last = pieces.pop().trimStart();
    const left = pieces.filter((piece) => !this.add(piece));
    if (left.length < pieces.length) field.value = [...left.map(plain), last].join(", ");
    else field.value = field.value.trimStart();
  }

  // False if there is no room for it.
  add(text) {
    const name = plain(text);
    const full = this.names.length >= MOST;
    if (!name) return true;
    if (this.has(name)) this.form.fail("prompt", say(this.words.twice, { name }));
    else if (full) this.form.fail("prompt", say(this.words.most, { most: MOST }));
    else this.names.push({ name, on: true });
    this.draw();
    return this.has(name);
  }

  // The list is complete: what was typed last becomes a chip like the others.
  close() {
    if (!SKILLS.includes(this.form.skill) || !this.names.length || this.names.length >= MOST) return;
    const field = this.form.prompt;
    if (!this.has(plain(field.value))) this.add(field.value);
    field.value = "";
  }

  has(name) {
    return this.names.some((one) => one.name.toLowerCase() === name.toLowerCase());
  }

  // Backspace at the start of the field takes the last name back into it.
  key(event) {
    const field = event.target;
    if (event.key !== "Backspace" || !field.matches("[data-prompt]") || !SKILLS.includes(this.form.skill)) return;
    if (field.selectionStart !== 0 || field.selectionEnd !== 0 || !this.names.length) return;
    event.preventDefault();
    const { name } = this.names.pop();
    const end = name.length;
    field.value = name + (field.value ? `, ${field.value}` : "");
    field.setSelectionRange(end, end);
    this.draw();
  }

  click(event) {
    const chip = event.target.closest("[data-name]");
    if (!chip) return;
    const { name } = chip.dataset;
    if (event.target.closest(".chip-remove")) {
      this.names = this.names.filter((one) => one.name !== name);
      this.form.prompt.focus();
    } else {
      const one = this.names.find((other) => other.name === name);
      one.on = !one.on;
    }
    this.draw();
    this.list.querySelector(`[data-name="${CSS.escape(name)}"] .chip-name`)?.focus();
    this.form.form.dispatchEvent(new Event("input"));
  }

  use(skill) {
    this.list.hidden = this.names.length === 0 || !SKILLS.includes(skill);
  }

  take(names) {
    this.names = names.map((name) => ({ name, on: true }));
    this.draw();
  }

  clear() {
    this.take([]);
  }

  // A run has given its objects colours.
  tint(parts) {
    for (const { name, colour } of parts) this.colours.set(name.toLowerCase(), colour);
    this.draw();
  }

  draw() {
    this.use(this.form.skill);
    for (const field of this.fields) field.placeholder = this.names.length ? this.words.more : field.dataset.alone;
    this.list.replaceChildren(...this.names.map(({ name, on }) => this.chip(name, on)));
  }

  chip(name, on) {
    const chip = Object.assign(document.createElement("li"), { className: "chip" });
    chip.dataset.name = name;
    const colour = this.colours.get(name.toLowerCase());
    if (colour) chip.style.setProperty("--c", colour);
    const toggle = button("chip-name", name);
    toggle.prepend(Object.assign(document.createElement("i"), { className: "label-dot" }));
    toggle.setAttribute("aria-pressed", String(on));
    toggle.setAttribute("aria-label", say(this.words.on, { name }));
    const remove = button("chip-remove", "×");
    remove.setAttribute("aria-label", say(this.words.remove, { name }));
    chip.append(toggle, remove);
    return chip;
  }

  // The names that are asked for, or nothing if there are no chips: then the field says it all.
  get asked() {
    if (!SKILLS.includes(this.form.skill) || !this.names.length) return null;
    const typed = plain(this.form.prompt.value);
    const names = this.names.filter(({ on }) => on).map(({ name }) => name);
    return typed && !this.has(typed) ? [...names, typed] : names;
  }

  // The part of a run message.
  request() {
    const { asked } = this;
    if (!asked) return {};
    return asked.length > 1 ? { objects: asked, object: undefined } : { object: asked[0] ?? "" };
  }
}

function plain(text) {
  return text.trim().replace(/\s+/g, " ");
}

function button(className, text) {
  const made = Object.assign(document.createElement("button"), { type: "button", className });
  made.append(text);
  return made;
}
