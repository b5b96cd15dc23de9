// Brings an image in: file picker, drop, paste, example scene. Nothing is fetched from elsewhere.
export class Intake {
  constructor(root, { viewer, words, limit, send, error, opened }) {
    Object.assign(this, { root, viewer, words, limit, send, error, opened });
    this.image = null;
    this.count = 0;
    this.file = root.querySelector("#ds-file");
    root.querySelector("[data-act='open']").addEventListener("click", () => this.file.click());
    this.file.addEventListener("change", () => this.fromFiles(this.file.files));
    root.addEventListener("click", (event) => {
      const example = event.target.closest("[data-example]");
      if (example) this.fromExample(example.dataset);
    });
    document.addEventListener("paste", (event) => this.paste(event));
    this.bindDrop();
  }

  bindDrop() {
    const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.root.classList.add("dropping");
    };
    document.addEventListener("dragenter", over);
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.root.classList.remove("dropping");
    });
    document.addEventListener("drop", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.root.classList.remove("dropping");
      this.fromFiles(event.dataTransfer.files);
    });
  }

  paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.fromFiles(files);
  }

  async fromFiles(files) {
    const [file] = files;
    if (file) await this.open(file, file.name);
    this.file.value = "";
  }

  async fromExample({ example, alt, question, skill }) {
    const answer = await fetch(`/example/${encodeURIComponent(example)}`);
    if (!answer.ok) {
      this.error(this.words.no_example);
      return;
    }
    await this.open(await answer.blob(), alt, { example, question, skill });
  }

  async open(blob, alt, example) {
    if (blob.size > this.limit) {
      this.error(this.words.too_big);
      return;
    }
    const url = URL.createObjectURL(blob);
    try {
      await this.viewer.show(url, alt);
    } catch {
      URL.revokeObjectURL(url);
      this.error(this.words.unreadable);
      return;
    }
    if (this.image) URL.revokeObjectURL(this.image.url);
    this.image = { id: `i${++this.count}`, blob, url };
    for (const thumb of this.root.querySelectorAll(".thumb")) {
      thumb.setAttribute("aria-current", String(thumb.dataset.example === example?.example));
    }
    this.opened(example);
    this.send(this.image.id, blob);
  }

  // The server could not read it.
  reject() {
    URL.revokeObjectURL(this.image.url);
    this.image = null;
    this.viewer.clear();
  }

  // After a lost connection the server knows nothing of the image any more.
  resend() {
    if (this.image) this.send(this.image.id, this.image.blob);
  }
}
