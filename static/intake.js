// Brings an image in: file picker, drop, paste, example scene, one that is kept. Nothing is fetched from elsewhere.
// Of two files or scenes, the one that was chosen later stays, whichever takes longer.
import { sideways } from "./sideways.js";

export class Intake {
  // `asks(skill, question)` is told what a scene suggests, and gives back what puts it into the form, if it may be.
  constructor(root, { viewer, words, limit, send, error, opened, asks }) {
    Object.assign(this, { root, viewer, words, limit, send, error, opened, asks });
    this.image = null;
    this.turn = 0;
    this.imageless = false; // on purpose: the question needs none
    this.count = 0;
    this.file = root.querySelector("#ds-file");
    root.querySelector("[data-act='open']").addEventListener("click", () => this.file.click());
    this.file.addEventListener("change", () => this.fromFiles(this.file.files));
    root.addEventListener("click", (event) => {
      const example = event.target.closest("[data-example]");
      if (example) this.fromExample(example.dataset);
    });
    document.addEventListener("paste", (event) => this.shown && this.paste(event));
    this.bindDrop();
    sideways(root.querySelector(".thumbs"));
  }

  // Whether this view is the one that is seen.
  get shown() {
    return !this.root.hidden;
  }

  bindDrop() {
    const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => {
      if (!this.shown || !carriesFiles(event)) return;
      event.preventDefault();
      this.root.classList.add("dropping");
    };
    document.addEventListener("dragenter", over);
    document.addEventListener("dragover", over);
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.root.classList.remove("dropping");
    });
    document.addEventListener("drop", (event) => {
      if (!this.shown || !carriesFiles(event)) return;
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
    const turn = ++this.turn;
    const suggest = this.asks(skill, question);
    const answer = await fetch(`/example/${encodeURIComponent(example)}`);
    if (turn !== this.turn) return;
    if (!answer.ok) {
      this.error(this.words.no_example);
      return;
    }
    await this.open(await answer.blob(), alt, { example, suggest });
  }

  async open(blob, alt, example) {
    if (blob.size > this.limit) {
      this.error(this.words.too_big);
      return;
    }
    const turn = ++this.turn;
    const url = URL.createObjectURL(blob);
    if (!(await this.display(url, alt, () => turn === this.turn))) return;
    this.take({ blob, url, alt }, example);
    this.send({ image: { id: this.image.id, name: alt } }, blob);
  }

  // An image of the history, by the hash of its bytes. False when it is not there any more.
  async fromHash(hash, alt) {
    this.turn += 1;
    if (this.image?.hash === hash) return true;
    const url = `/api/images/${encodeURIComponent(hash)}`;
    if (!(await this.display(url, alt))) return false;
    this.take({ hash, url, alt });
    this.send({ image: { id: this.image.id, hash } });
    return true;
  }

  async display(url, alt, wanted = () => true) {
    let shown = false;
    try {
      shown = await this.viewer.show(url, alt, wanted);
    } catch {
      if (wanted()) this.error(this.words.unreadable);
    }
    if (!shown && url.startsWith("blob:")) URL.revokeObjectURL(url);
    return shown;
  }

  take(image, example) {
    if (this.image?.blob) URL.revokeObjectURL(this.image.url);
    this.image = { id: `i${++this.count}`, ...image };
    this.imageless = false;
    this.point(example?.example);
    this.opened(example);
  }

  // Which of the scenes is open, if one is.
  point(example) {
    for (const thumb of this.root.querySelectorAll(".thumb")) {
      thumb.setAttribute("aria-current", String(thumb.dataset.example === example));
      if (thumb.dataset.example === example) thumb.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  // Takes the image away; `imageless`: something is to be asked without one.
  close(imageless) {
    this.turn += 1;
    if (this.image) {
      this.reject();
      this.point(null);
      this.send({ image: null });
    }
    this.imageless = imageless;
    this.root.dataset.phase = imageless ? "words" : "empty";
    this.opened();
  }

  // The server keeps the image under this hash; false if it is not the one that is shown.
  stored({ id, hash }) {
    if (this.image?.id !== id) return false;
    this.image.hash = hash;
    return true;
  }

  // The server could not read it.
  reject() {
    if (this.image.blob) URL.revokeObjectURL(this.image.url);
    this.image = null;
    this.viewer.clear();
  }

  // After a lost connection the server knows nothing of the image any more.
  resend() {
    const { id, blob, hash, alt } = this.image ?? {};
    if (hash) this.send({ image: { id, hash } });
    else if (blob) this.send({ image: { id, name: alt } }, blob);
  }
}
