// A still from a camera, and an image by its address. Both are brought by the browser, never by the server. The
// camera is on only while its dialog is open.
import { recall, remember } from "./prefs.js";
import { say } from "./say.js";

export class Camera {
  // `open(blob, name)` takes the image.
  constructor(root, { words, open, dialogs }) {
    Object.assign(this, { words: words.camera, link: words.link, open, dialogs });
    this.dialog = root.querySelector("#ds-camera");
    this.video = this.dialog.querySelector("video");
    this.list = this.dialog.querySelector(".camera-list");
    this.shot = this.dialog.querySelector("[data-act='still']");
    this.said = this.dialog.querySelector("[data-slot='camera-said']");
    this.address = root.querySelector("#ds-link-url");
    this.stream = null;
    root.querySelector("[data-act='camera']").addEventListener("click", () => this.start());
    root.querySelector("[data-act='link']").addEventListener("click", () => dialogs.open("link"));
    root.querySelector(".link-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.fetch();
    });
    this.address.addEventListener("input", () => this.fail(""));
    this.dialog.addEventListener("close", () => this.end());
    this.list.addEventListener("change", () => this.use(this.list.value));
    this.shot.addEventListener("click", () => this.still());
  }

  async start() {
    this.dialogs.open("camera");
    if (!navigator.mediaDevices) this.tell(this.words.insecure);
    else await this.use(recall("camera", {}).id);
  }

  async use(id) {
    this.end();
    this.tell(this.words.ask);
    remember("camera", { id });
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: id ? { deviceId: { ideal: id } } : true });
    } catch (error) {
      this.tell(error.name === "NotAllowedError" ? this.words.refused : this.words.none);
      return;
    }
    // It may have been closed while the browser asked.
    if (!this.dialog.open) {
      this.end();
      return;
    }
    this.video.srcObject = this.stream;
    await this.video.play();
    this.shot.disabled = false;
    this.tell(this.words.on);
    await this.offer();
  }

  async offer() {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const used = this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
    this.list.replaceChildren(...devices.map(({ label, deviceId }, index) =>
      new Option(label || say(this.words.nth, { n: index + 1 }), deviceId, false, deviceId === used)));
    this.list.disabled = devices.length < 2;
  }

  async still() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.video.videoWidth, this.video.videoHeight];
    canvas.getContext("2d").drawImage(this.video, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    this.dialog.close();
    await this.open(blob, this.words.still);
  }

  end() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
    this.shot.disabled = true;
  }

  tell(text) {
    this.said.textContent = text;
  }

  // ------------------------------------------------------------------------------------- by its address

  async fetch() {
    const url = URL.canParse(this.address.value.trim()) ? new URL(this.address.value.trim()) : null;
    if (!["http:", "https:"].includes(url?.protocol)) {
      this.fail(this.link.empty);
      return;
    }
    const failed = await this.bring(url);
    if (failed) {
      this.fail(failed);
      return;
    }
    this.address.value = "";
    this.dialogs.current?.close();
  }

  // Opens the image, or returns why it cannot be had.
  async bring(url) {
    const { status, blob } = await elsewhere(url);
    if (!status) return this.link.blocked;
    if (!blob) return say(this.link.not_found, { status: String(status) });
    if (!blob.type.startsWith("image/")) return say(this.link.no_image, { type: blob.type || "?" });
    await this.open(blob, decodeURIComponent(url.pathname.split("/").pop()) || url.host);
    return "";
  }

  fail(text) {
    document.querySelector("#ds-link-error").textContent = text;
    if (text) this.address.setAttribute("aria-invalid", "true");
    else this.address.removeAttribute("aria-invalid");
    if (text) this.address.focus();
  }
}

// What another site answers: its status, 0 if the browser cannot read it, and the bytes if it has them.
async function elsewhere(url) {
  const worker = new Worker(new URL("./elsewhere.js", import.meta.url));
  try {
    return await new Promise((done) => {
      worker.addEventListener("message", ({ data }) => done(data));
      worker.addEventListener("error", () => done({ status: 0, blob: null }));
      worker.postMessage(url.href);
    });
  } finally {
    worker.terminate();
  }
}
