// The legend: one chip per label with its colour, its count, and whether it is shown. A label is the name of an
// object, or the words of a grounded span. Colours chosen here belong to the label, in every run and column of this
// browser. All looks are rules of one style sheet per column, so that marks which arrive later follow them, too.
import { recall, remember } from "./prefs.js";
import { say } from "./say.js";
import { wordsOf } from "./words.js";

const LIGHT = "#ffffff";
const DARK = "#0b0e14";

export class Labels {
  constructor(root) {
    this.root = root;
    this.words = wordsOf(root).labels;
    this.legend = root.querySelector(".legend");
    this.marks = root.querySelector(".marks");
    this.hidden = new Set();
    this.found = new Map();
    this.tints = new Map(); // colours that grounds take over from another column
    this.sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(this.sheet);
    // While a colour is being picked its field has to stay where it is.
    this.recolour = () => this.draw(!this.legend?.contains(document.activeElement?.closest(".label-colour")));
    document.addEventListener("dreamscope-colours", this.recolour);
    this.legend?.addEventListener("click", (event) => this.click(event));
    this.legend?.addEventListener("input", (event) => this.choose(event.target));
    this.legend?.addEventListener("change", () => this.draw());
  }

  // A column that is taken away takes its rules with it.
  remove() {
    document.removeEventListener("dreamscope-colours", this.recolour);
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.sheet);
  }

  begin() {
    this.clear();
  }

  // `tints`: {ground: [colour, halo]}, for grounds that do not keep their own.
  tint(tints) {
    this.tints = new Map(Object.entries(tints));
    this.draw();
  }

  clear() {
    this.hidden.clear();
    this.found = new Map();
    this.tints.clear();
    this.draw();
  }

  // The page has other marks than before; returns how many.
  drawn() {
    const said = this.spans();
    const found = new Map();
    let count = 0;
    for (const mark of this.marks.querySelectorAll(".mark")) {
      count += 1;
      const { label, ground } = mark.dataset;
      const name = plain(label || said.get(ground) || "");
      if (!name) continue;
      const entry = found.get(name) ?? { count: 0, grounds: new Map(), labels: new Set() };
      entry.count += 1;
      if (label) entry.labels.add(label);
      if (!entry.grounds.has(ground)) entry.grounds.set(ground, [mark.style.getPropertyValue("--c"), mark.style.getPropertyValue("--halo")]);
      found.set(name, entry);
    }
    const same = found.size === this.found.size && [...found].every(([name, { count: n }]) => this.found.get(name)?.count === n);
    this.found = found;
    if (!same) this.draw();
    return count;
  }

  // The words of every grounded span that is complete.
  spans() {
    const said = new Map();
    for (const span of this.root.querySelectorAll(".prose:not(.differing) .ground:not(.open)")) {
      const text = [...span.childNodes].filter((node) => !node.classList?.contains("ground-number"));
      said.set(span.dataset.ground, text.map((node) => node.textContent).join(""));
    }
    return said;
  }

  draw(legend = true) {
    this.sheet.replaceSync([...this.found].map(([name, entry]) => this.rules(name, entry)).join("\n"));
    if (!this.legend || !legend) return;
    const focused = this.legend.contains(document.activeElement) && document.activeElement.dataset.key;
    this.legend.hidden = this.found.size === 0;
    this.legend.replaceChildren(...[...this.found].map(([name, entry]) => this.chip(name, entry)));
    if (focused) this.legend.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  rules(name, { grounds, labels }) {
    const scope = `.ds [data-column="${CSS.escape(this.root.dataset.column)}"]`;
    const chosen = recall("colours", {})[name];
    const rules = [];
    const all = labels.size
      ? [...labels].map((label) => [`[data-label="${CSS.escape(label)}"]`, [...grounds.values()][0]])
      : [...grounds].map(([ground, look]) => [`[data-ground="${CSS.escape(ground)}"]`, look, ground]);
    for (const [which, [colour, halo], ground] of all) {
      if (this.hidden.has(name)) rules.push(`${scope} .mark${which}{display:none}`, `${scope} :is(.entry,.ground,.part-head)${which}{opacity:.5}`);
      const [tint, ring] = chosen ? [chosen, haloOf(chosen)] : this.tints.get(ground) ?? [];
      if (!tint) continue;
      rules.push(`${scope} ${which}{--c:${tint} !important;--halo:${ring} !important}`);
      for (const paint of ["fill", "stroke"]) {
        rules.push(`${scope} .mark${which} [${paint}="${colour}"]{${paint}:${tint}}`);
        rules.push(`${scope} .mark${which} [${paint}="${halo}"]{${paint}:${ring}}`);
      }
    }
    return rules.join("\n");
  }

  chip(name, { count, grounds }) {
    const chip = made("li", "label-chip");
    const [[first, own]] = grounds;
    const shown = this.tints.get(first) ?? own;
    const chosen = recall("colours", {})[name];
    const hidden = this.hidden.has(name);
    chip.classList.toggle("is-hidden", hidden);
    chip.dataset.name = name;
    const colour = made("input", "label-colour", { type: "color", value: chosen ?? shown[0], title: say(this.words.colour, { label: name }) });
    colour.setAttribute("aria-label", say(this.words.colour, { label: name }));
    const toggle = made("button", "label-toggle", { type: "button", title: say(hidden ? this.words.show : this.words.hide, { label: name }) });
    toggle.setAttribute("aria-pressed", String(!hidden));
    toggle.setAttribute("aria-label", say(this.words.shown, { label: name }));
    toggle.dataset.lights = [...grounds.keys()].join(" ");
    toggle.append(made("span", "label-name", { textContent: name }));
    if (count > 1) toggle.append(made("span", "label-count", { textContent: String(count) }));
    chip.append(colour, toggle);
    if (chosen) {
      const reset = made("button", "label-reset", { type: "button", textContent: "↺", title: say(this.words.reset, { label: name }) });
      reset.setAttribute("aria-label", say(this.words.reset, { label: name }));
      chip.append(reset);
    }
    for (const part of chip.children) part.dataset.key = `${part.className} ${name}`;
    return chip;
  }

  click(event) {
    const name = event.target.closest(".label-chip")?.dataset.name;
    if (name === undefined) return;
    if (event.target.closest(".label-reset")) this.paint(name, null);
    else if (event.target.closest(".label-toggle")) this.toggle(name);
  }

  toggle(name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.draw();
  }

  choose(input) {
    if (input.matches(".label-colour")) this.paint(input.closest(".label-chip").dataset.name, input.value);
  }

  paint(name, colour) {
    const colours = recall("colours", {});
    if (colour) colours[name] = colour;
    else delete colours[name];
    remember("colours", colours);
    document.dispatchEvent(new CustomEvent("dreamscope-colours"));
  }
}

function plain(text) {
  return text.trim().replace(/\s+/g, " ").toLowerCase();
}

// The stroke that contrasts more with the colour, as `visualizers/palette.py` chooses it.
function haloOf(colour) {
  return contrast(colour, LIGHT) >= contrast(colour, DARK) ? LIGHT : DARK;
}

function contrast(first, second) {
  const [low, high] = [luminance(first), luminance(second)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour) {
  const parts = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
  const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function made(name, className, properties = {}) {
  return Object.assign(document.createElement(name), { className, ...properties });
}
