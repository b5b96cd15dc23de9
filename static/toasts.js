// Short notes at the edge of the page: what was done, how to take it back, what went wrong.
const STAY_MS = 5000;
const STAY_LONG_MS = 12000;

export class Toasts {
  constructor(root, words) {
    this.root = root;
    this.words = words;
  }

  // `action`: {label, run} makes a button, and lets the note stay longer. Of the kind "error" is what went wrong.
  show(text, { action, kind = "" } = {}) {
    const bad = kind === "error";
    const toast = document.createElement("div");
    toast.className = bad ? "toast bad" : "toast";
    const said = document.createElement("p");
    said.textContent = text;
    toast.append(said);
    if (action) {
      toast.append(this.button(action.label, "toast-action", () => {
        toast.remove();
        action.run();
      }));
    }
    const close = this.button("×", "toast-close", () => toast.remove());
    close.setAttribute("aria-label", this.words.close);
    toast.append(close);
    this.root.append(toast);
    this.leaveAfter(toast, action || bad ? STAY_LONG_MS : STAY_MS);
    return toast;
  }

  button(label, className, run) {
    const button = Object.assign(document.createElement("button"), { type: "button", className, textContent: label });
    button.addEventListener("click", run);
    return button;
  }

  // Not while somebody reads it or is about to press its button.
  leaveAfter(toast, time) {
    const leave = () => (toast.matches(":hover, :focus-within") ? setTimeout(leave, time) : toast.remove());
    setTimeout(leave, time);
  }
}
