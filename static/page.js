// The shell around the views: the socket and who is told what comes over it, the model picker, toasts, dialogs.
//
// A view is made as `new View(root, shell)` when it is first shown. It may have
//
//     open(params)      it is shown, with the URLSearchParams of the address (without `view`)
//     close()           another view comes
//     receive(message)  every message of the server, see `app/relay.py`; one with "column" is for that column.
//                       A view that comes late is given the last `engine` message at once. `{open: true}` and
//                       `{closed: true}` tell of the connection, `{model}` of the model that is chosen.
//     keys              shortcuts while it is shown, {key: act}, and among them `submit`, `escape`, `number(n)`
//
// and uses of the shell: `send(message, bytes)` (false without a connection), `go(view, params, {replace})`,
// `toast(text, {action: {label, run}, kind})`, `fail(error)`, `copy(text, button)`, `share({run} or {comparison})`,
// `dialogs`, `models`, `words`.
import { Appearance } from "./theme.js";
import { Dialogs } from "./dialogs.js";
import { Download } from "./download.js";
import { Models } from "./models.js";
import { Popovers } from "./popovers.js";
import { Privacy } from "./privacy.js";
import { Share } from "./share.js";
import { Socket } from "./socket.js";
import { Toasts } from "./toasts.js";
import { Views } from "./views.js";
import { bindKeys } from "./keys.js";

const DID_MS = 1200;

export class Page {
  constructor(root) {
    this.root = root;
    this.words = JSON.parse(root.dataset.words);
    this.engine = null;
    this.said = root.querySelector(".said");
    this.toasts = new Toasts(root.querySelector(".toasts"), this.words);
    this.views = new Views(this);
    this.models = new Models(root, {
      chosen: (model) => this.views.tell({ model }),
      load: (id) => this.send({ load: id }),
      confirm: (model, go) => this.download.ask(model, go),
    });
    this.socket = new Socket("/ws", {
      open: () => this.views.tell({ open: true }),
      message: (messages) => messages.forEach((message) => this.receive(message)),
      close: () => this.offline(),
    });
    new Appearance(root);
    this.dialogs = new Dialogs(root);
    this.download = new Download(this);
    this.popovers = new Popovers(root);
    this.privacy = new Privacy(this);
    this.sharing = new Share(this);
    bindKeys(this);
  }

  // Nothing is received before the first view can show it.
  async start() {
    await this.views.start();
    this.socket.connect();
  }

  send(message, bytes) {
    return this.socket.send(message, bytes);
  }

  go(view, params, options) {
    return this.views.go(view, params, options);
  }

  toast(text, options) {
    return this.toasts.show(text, options);
  }

  // Puts text into the clipboard. Pages that are not secure have no other way than the old one.
  async clip(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = Object.assign(document.createElement("textarea"), { value: text, className: "vh" });
      (this.dialogs.current ?? this.root).append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  // The same, told by the button that asked for it.
  async copy(text, button) {
    if (!(await this.clip(text))) {
      this.toast(this.words.not_copied, { kind: "error" });
      return;
    }
    button.classList.add("did");
    setTimeout(() => button.classList.remove("did"), DID_MS);
    this.said.textContent = this.words.copied;
  }

  // What went wrong with a request to the server, as a note.
  fail(error) {
    return this.toast(error.message || this.words.offline_short, { kind: "error" });
  }

  share(what) {
    return this.sharing.open(what);
  }

  receive(message) {
    if (message.engine) this.take(message.engine);
    if (message.progress) this.models.step(message.progress);
    if (message.notice) this.toast(message.notice.text);
    this.views.tell(message);
  }

  // Models and presets are said only when they change.
  take(engine) {
    this.engine = { ...this.engine, ...engine };
    this.root.querySelector(".engine").dataset.engine = engine.state;
    this.root.querySelector("[data-slot='engine']").textContent = engine.text;
    if (engine.models) this.models.show(engine.models);
  }

  offline() {
    this.receive({ engine: { state: "gone", text: this.words.offline_short, detail: this.words.offline } });
    this.views.tell({ closed: true });
  }
}
