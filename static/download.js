// The question before a model is downloaded: which, how large it is, and what it is for.
import { bytes, say } from "./say.js";

export class Download {
  constructor(shell) {
    this.shell = shell;
    this.words = shell.words.download;
    this.dialog = shell.root.querySelector("#ds-download");
    this.dialog.querySelector("[data-act='download']").addEventListener("click", () => {
      this.dialog.close();
      this.go();
    });
  }

  // `go()` is called if the person wants it.
  ask({ name, description, download_bytes: size }, go) {
    this.go = go;
    this.dialog.querySelector("h2").textContent = say(this.words.title, { name });
    const said = size ? say(this.words.size, { size: bytes(size) }) : this.words.unknown;
    this.dialog.querySelector(".sheet-text").textContent = `${description} ${said}`.trim();
    this.shell.dialogs.open("download");
  }
}
