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
    this.asked = 0;
    root.querySelector("[data-act='camera']").addEventListener("click", () => this.start());
    root.querySelector("[data-act='link']").addEventListener("click", () => dialogs.open("link"));
    root.querySelector(".link-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.fetch();
    });
    this.address.addEventListener("input", () => this.fail(""));
    this.dialog.addEventListener("close", () => this.end());
    this.list.addEventListener("change", () => this.use(this.list.value));
    this.video.addEventListener("playing", () => this.ready());
    this.shot.addEventListener("click", () => this.still());
  }

  async start() {
    this.dialogs.open("camera");
    if (!navigator.mediaDevices) this.tell(this.words.insecure);
    else await this.use(recall("camera", {}).id);
  }

  async use(id) {
    this.end();
    const { asked } = this;
    this.tell(this.words.ask);
    remember("camera", { id });
    const { stream, error } = await opened(id);
    // While the browser asked, the dialog was closed or another camera chosen: nobody waits for this one any more.
    if (asked !== this.asked) {
      stop(stream);
      return;
    }
    if (error) {
      this.tell(error === "NotAllowedError" ? this.words.refused : this.words.none);
      return;
    }
    this.stream = stream;
    this.video.srcObject = stream;
    await this.offer();
  }

  // The first frame is there: a still can be made.
  ready() {
    if (!this.stream) return;
    this.shot.disabled = false;
    this.tell(this.words.on);
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
    this.asked += 1;
    stop(this.stream);
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

// The camera's stream, or the name of the error for which there is none.
async function opened(id) {
  try {
    const video = id ? { deviceId: { ideal: id } } : true;
    return { stream: await navigator.mediaDevices.getUserMedia({ video }), error: null };
  } catch (error) {
    return { stream: null, error: error.name };
  }
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
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
