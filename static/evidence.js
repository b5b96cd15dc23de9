// Lights up everything that shares a `data-ground`: words, list entries and marks, in both directions.
const GROUNDED = "[data-ground]";

export class Evidence {
  constructor(root) {
    this.root = root;
    this.hovered = null;
    this.focused = null;
    this.picked = null;
    root.addEventListener("pointerover", (event) => this.set("hovered", ground(event)));
    root.addEventListener("pointerleave", () => this.set("hovered", null));
    root.addEventListener("focusin", (event) => this.focus(visible(event) ? ground(event) : null));
    root.addEventListener("focusout", () => this.set("focused", null));
    root.addEventListener("click", (event) => {
      const name = ground(event);
      if (name) this.pick(name);
      else if (event.target.closest(".sky, .stream")) this.release();
    });
    root.addEventListener("keydown", (event) => {
      const name = ["Enter", " "].includes(event.key) && ground(event);
      if (!name) return;
      event.preventDefault();
      this.pick(name);
    });
  }

  get active() {
    return this.hovered ?? this.picked ?? this.focused;
  }

  // Going on to other evidence by keyboard lets go of the one that was picked.
  focus(name) {
    if (name) this.picked = null;
    this.set("focused", name);
  }

  // Keeps one lit without the pointer; the same again lets go.
  pick(name) {
    this.set("picked", this.picked === name ? null : name);
  }

  pickNumber(number) {
    const names = [...new Set([...this.root.querySelectorAll(`.marks ${GROUNDED}`)].map((e) => e.dataset.ground))];
    if (names[number - 1]) this.pick(names[number - 1]);
  }

  // True when something was lit by `pick`.
  release() {
    const had = this.picked !== null;
    this.hovered = null;
    this.set("picked", null);
    return had;
  }

  set(how, name) {
    if (this[how] === name) return;
    this[how] = name;
    this.refresh();
  }

  refresh() {
    const { active } = this;
    const all = [...this.root.querySelectorAll(GROUNDED)];
    for (const element of all) element.classList.toggle("lit", element.dataset.ground === active);
    const marked = all.some((element) => element.classList.contains("lit") && element.closest(".marks"));
    this.root.classList.toggle("focusing", marked);
  }
}

function ground(event) {
  return event.target.closest?.(GROUNDED)?.dataset.ground ?? null;
}

function visible(event) {
  return event.target.matches(":focus-visible");
}
