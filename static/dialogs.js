// Dialogs by name: `data-dialog="privacy"` on a button opens `#ds-privacy`, which is told by the event `ds-open`.
export class Dialogs {
  constructor(root) {
    this.root = root;
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-dialog], [data-act='close-dialog']");
      if (button?.dataset.dialog) this.open(button.dataset.dialog);
      else button?.closest("dialog").close();
    });
    // A click beside a dialog closes it.
    for (const dialog of root.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    }
  }

  // The dialog that is open.
  get current() {
    return this.root.querySelector("dialog[open]");
  }

  open(name) {
    this.current?.close();
    const dialog = this.root.querySelector(`#ds-${name}`);
    dialog.showModal();
    dialog.dispatchEvent(new Event("ds-open"));
    return dialog;
  }
}
