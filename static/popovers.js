// Small panels that open from a button (`aria-controls` names them), in the top layer, beside the button where there
// is room. A click elsewhere, Escape, scrolling away, or an entry that was chosen closes them.
const GAP = 6;
const EDGE = 12;

export class Popovers {
  constructor(root) {
    this.root = root;
    root.addEventListener("click", (event) => this.click(event));
    root.addEventListener("focusout", (event) => {
      const to = event.relatedTarget;
      if (this.open && to && !this.open.contains(to) && to !== this.button) this.close();
    });
    const scrolled = (event) => this.open?.contains(event.target) || this.close();
    root.addEventListener("scroll", scrolled, { capture: true, passive: true });
    addEventListener("resize", () => this.close());
  }

  click(event) {
    const button = event.target.closest("[data-pop]");
    if (button) this.toggle(button);
    else if (this.open && (!this.within(event) || event.target.closest("[data-closes]"))) this.close();
  }

  // Also of an element that the click has removed.
  within(event) {
    return event.composedPath().includes(this.open);
  }

  toggle(button) {
    const again = this.button === button;
    this.close();
    if (again) return;
    this.button = button;
    this.open = this.root.querySelector(`#${button.getAttribute("aria-controls")}`);
    this.open.showPopover();
    this.place(button.getBoundingClientRect(), button.closest(".panel, .stage")?.getBoundingClientRect().right);
    button.setAttribute("aria-expanded", "true");
    this.open.querySelector("a[href], button, input")?.focus({ preventScroll: true });
  }

  // Below the button, or above it if there is more room; never over the edge of the window, nor of what it is in.
  place(button, right = innerWidth) {
    const { offsetWidth: width, offsetHeight: height, style } = this.open;
    const above = button.bottom + GAP + height > innerHeight - EDGE && button.top > innerHeight - button.bottom;
    const left = Math.min(button.left, Math.min(right, innerWidth) - EDGE - width);
    const top = above ? button.top - GAP - height : Math.min(button.bottom + GAP, innerHeight - EDGE - height);
    style.left = `${Math.max(EDGE, left)}px`;
    style.top = `${Math.max(EDGE, top)}px`;
  }

  // True when one was open.
  close({ refocus = false } = {}) {
    if (!this.open) return false;
    const { open, button } = this;
    this.open = this.button = null;
    open.hidePopover();
    button.setAttribute("aria-expanded", "false");
    if (refocus) button.focus();
    return true;
  }
}
