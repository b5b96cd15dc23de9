// Lights up everything that shares a `data-ground`: words, list entries and marks, in both directions. A button
// with `data-lights` ("g0 g2") lights several. Elements are looked up once per change of the page, and only those
// whose state changes are touched: a pointer may cross a thousand marks in a frame.
const GROUNDED = "[data-ground]";
// Not the copies of a spotlight.
const OWN = `${GROUNDED}:not(.spotlight *)`;
const SPEAKS = "[data-ground], [data-lights]";
const NONE = [];

export class Evidence {
  // `changed(grounds)` is told of what the person lights here, not of what `show` lights; `draw(elements)` of all
  // elements that are lit, and returns whether it sets them off against the others by itself.
  constructor(root, { changed = () => {}, draw = () => false } = {}) {
    Object.assign(this, { root, changed, draw });
    this.hovered = null;
    this.focused = null;
    this.picked = null;
    this.shown = null;
    this.lit = new Set();
    this.index = null;
    root.addEventListener("pointerover", (event) => this.set("hovered", grounds(event)));
    root.addEventListener("pointerleave", () => this.set("hovered", null));
    root.addEventListener("focusin", (event) => this.focus(visible(event) ? grounds(event) : null));
    root.addEventListener("focusout", () => this.set("focused", null));
    root.addEventListener("click", (event) => {
      const names = grounds(event);
      if (names) this.pick(names);
      else if (event.target.closest(".sky, .stream") && !event.target.closest("button, a, input, summary")) this.release();
    });
    root.addEventListener("keydown", (event) => {
      const names = ["Enter", " "].includes(event.key) && !event.target.closest("button") && grounds(event);
      if (!names) return;
      event.preventDefault();
      this.pick(names);
    });
  }

  // The grounds that are lit, as one string with blanks between them; null for none.
  get active() {
    return this.hovered ?? this.picked ?? this.focused ?? this.shown;
  }

  // Lights grounds on behalf of another column, for as long as nothing is lit here by hand; null lets go.
  show(names) {
    this.set("shown", names?.length ? names.join(" ") : null, false);
  }

  // Going on to other evidence by keyboard lets go of the one that was picked.
  focus(names) {
    if (names) this.picked = null;
    this.set("focused", names);
  }

  // Keeps one lit without the pointer; the same again lets go.
  pick(names) {
    this.set("picked", this.picked === names ? null : names);
  }

  // Of those that can be seen: what is hidden by its label is not there for the keyboard either.
  pickNumber(number) {
    const found = new Set();
    for (const mark of this.root.querySelectorAll(`.marks ${GROUNDED}`)) {
      if (!found.has(mark.dataset.ground) && seen(mark)) found.add(mark.dataset.ground);
      if (found.size === number) {
        this.pick(mark.dataset.ground);
        return;
      }
    }
  }

  // True when something was lit by `pick`.
  release() {
    const had = this.picked !== null;
    this.hovered = null;
    this.set("picked", null);
    return had;
  }

  set(how, names, told = true) {
    if (this[how] === names) return;
    const before = this.active;
    this[how] = names;
    if (this.active === before) return;
    this.refresh();
    if (told) this.changed(this.active?.split(" ") ?? NONE);
  }

  // The page has other elements than before.
  drawn() {
    this.index = null;
    if (this.active) this.refresh();
  }

  refresh() {
    const wanted = this.active?.split(" ") ?? NONE;
    const lit = new Set(wanted.flatMap((name) => this.elements(name)));
    for (const element of this.lit) if (!lit.has(element)) element.classList.remove("lit");
    for (const element of lit) element.classList.add("lit");
    this.lit = lit;
    const marked = [...lit].some((element) => element.classList.contains("mark") && seen(element));
    const many = this.draw(lit);
    this.root.classList.toggle("focusing", marked && !many);
    this.root.classList.toggle("dimming", marked && many);
  }

  elements(name) {
    if (!this.index) {
      this.index = new Map();
      for (const element of this.root.querySelectorAll(OWN)) {
        const { ground } = element.dataset;
        if (this.index.has(ground)) this.index.get(ground).push(element);
        else this.index.set(ground, [element]);
      }
    }
    return this.index.get(name) ?? NONE;
  }
}

function grounds(event) {
  const element = event.target.closest?.(SPEAKS);
  return element ? element.dataset.lights ?? element.dataset.ground : null;
}

// `checkVisibility` says yes to a hidden part of a drawing.
function seen(mark) {
  return getComputedStyle(mark).display !== "none";
}

function visible(event) {
  return event.target.matches(":focus-visible");
}
