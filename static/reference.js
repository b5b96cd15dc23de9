// One place that a request refers to: a point or a box over the image. Moved, resized and removed by mouse,
// finger or keyboard; all numbers are fractions of the image.
const STEP = 0.01;
const LONG_STEP = 0.05;
const LEAST = 0.01;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// Which of [left, top, right, bottom] a corner moves.
const CORNERS = { nw: [0, 1], ne: [2, 1], se: [2, 3], sw: [0, 3] };

export class Reference {
  // `kind` is point, box, eye or face; `owner` is told what happens to it.
  constructor(kind, at, owner) {
    Object.assign(this, { kind, at, owner });
    this.element = part("div", `ref ${this.isBox ? "ref-box" : "ref-point"} ref-${kind}`);
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.handles = this.isBox ? Object.keys(CORNERS).map((name) => this.handle(name)) : [];
    this.cross = part("button", "ref-remove");
    this.cross.type = "button";
    this.cross.textContent = "×";
    this.cross.tabIndex = -1;
    this.cross.addEventListener("click", () => owner.remove(this));
    this.element.append(...this.handles, this.cross);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.drags(this.element, (dx, dy) => this.move(dx, dy));
    // Its parts are stops of the Tab key only while one of them has the focus.
    this.element.addEventListener("focusin", () => this.inner(0));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget)) this.inner(-1);
    });
    this.place();
  }

  get isBox() {
    return this.at.length === 4;
  }

  handle(name) {
    const handle = part("button", `ref-handle ref-${name}`);
    handle.type = "button";
    handle.tabIndex = -1;
    handle.dataset.corner = name;
    this.drags(handle, (dx, dy) => this.resize(name, dx, dy));
    return handle;
  }

  inner(tabIndex) {
    for (const element of [...this.handles, this.cross]) element.tabIndex = tabIndex;
  }

  move(dx, dy) {
    const [x, y, x2 = x, y2 = y] = this.at;
    const by = [clamp(dx, -x, 1 - x2), clamp(dy, -y, 1 - y2)];
    this.set(this.at.map((value, index) => value + by[index % 2]));
  }

  resize(name, dx, dy) {
    const at = [...this.at];
    for (const side of CORNERS[name]) {
      const other = at[(side + 2) % 4];
      const [low, high] = side < 2 ? [0, other - LEAST] : [other + LEAST, 1];
      at[side] = clamp(at[side] + (side % 2 ? dy : dx), Math.min(low, at[side]), Math.max(high, at[side]));
    }
    this.set(at);
  }

  set(at) {
    this.at = at.map((value) => clamp(value, 0, 1));
    this.place();
    this.owner.changed(this);
  }

  place() {
    const [x, y, x2, y2] = this.at;
    const { style } = this.element;
    style.left = percent(x);
    style.top = percent(y);
    if (!this.isBox) return;
    style.width = percent(x2 - x);
    style.height = percent(y2 - y);
  }

  // The words come from the owner, because they hold the number of this one among its kind.
  name(label, { keys, remove, corner }) {
    this.element.setAttribute("aria-label", `${label}. ${keys}`);
    this.cross.setAttribute("aria-label", `${remove}: ${label}`);
    for (const handle of this.handles) handle.setAttribute("aria-label", corner(handle.dataset.corner));
  }

  // Where the named corner is.
  corner(name) {
    return CORNERS[name].map((side) => this.at[side]);
  }

  key(event) {
    const arrow = ARROWS[event.key];
    if (arrow && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const [dx, dy] = arrow.map((sign) => sign * (event.shiftKey ? LONG_STEP : STEP));
      const { corner } = event.target.dataset;
      if (corner) this.resize(corner, dx, dy);
      else this.move(dx, dy);
    } else if (event.key === "Delete" || event.key === "Backspace") this.owner.remove(this);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Calls `by` with the fractions that the pointer moved while it held `element`.
  drags(element, by) {
    let last = null;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.target.closest(".ref-remove")) return;
      event.stopPropagation();
      element.setPointerCapture(event.pointerId);
      last = [event.clientX, event.clientY];
    });
    element.addEventListener("pointermove", (event) => {
      if (!last) return;
      const area = this.element.parentElement.getBoundingClientRect();
      by((event.clientX - last[0]) / area.width, (event.clientY - last[1]) / area.height);
      last = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => (last = null));
  }
}

function part(name, className) {
  return Object.assign(document.createElement(name), { className });
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

function percent(value) {
  return `${value * 100}%`;
}
