// The dialog that makes, copies and revokes links to a run or a comparison, and saves it as one file.
import { address, ask } from "./api.js";
import { say } from "./say.js";

export class Share {
  constructor(shell) {
    this.shell = shell;
    this.words = shell.words.share;
    this.dialog = shell.root.querySelector("#ds-share");
    this.list = this.dialog.querySelector(".share-links");
    this.error = this.dialog.querySelector(".field-error");
    this.file = this.dialog.querySelector("[data-slot='share-file']");
    this.dialog.querySelector(".share-new").addEventListener("submit", (event) => {
      event.preventDefault();
      this.attempt(() => this.make());
    });
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.attempt(() => this.act(button));
    });
  }

  // `what`: {run} or {comparison}, an id.
  async open(what) {
    this.what = what;
    const [kind, id] = Object.entries(what)[0];
    this.file.href = `/api/${kind}s/${encodeURIComponent(id)}/page.html`;
    this.list.replaceChildren();
    this.shell.dialogs.open("share");
    await this.attempt(() => this.refresh());
  }

  async attempt(work) {
    this.error.textContent = "";
    try {
      await work();
    } catch (error) {
      if (error.status === undefined) throw error;
      this.error.textContent = error.message || this.shell.words.offline_short;
    }
  }

  async make() {
    const seconds = this.dialog.querySelector("[name='expiry']").value;
    const json = { ...this.what, ...(seconds ? { expires_in_s: Number(seconds) } : {}) };
    const { slug } = await ask("/api/shares", { method: "POST", json });
    await this.refresh();
    const copied = await this.shell.clip(this.address(slug));
    this.shell.toast(copied ? this.words.copied : this.words.not_copied);
    this.list.querySelector("[data-do='copy']")?.focus();
  }

  address(slug) {
    return new URL(`/s/${encodeURIComponent(slug)}`, location.href).href;
  }

  async refresh() {
    const { what } = this;
    const said = await ask(address("/api/shares", what));
    const { shares } = said;
    if (this.what !== what) return;
    const there = shares.filter(({ live }) => live);
    this.list.replaceChildren(...(there.length ? there.map((share, index) => this.entry(share, index + 1)) : [this.none()]));
  }

  none() {
    return made("li", "share-none", { textContent: this.words.none });
  }

  entry({ slug, expires_at: expires }, number) {
    const entry = made("li", "share-link");
    entry.dataset.slug = slug;
    const url = this.address(slug);
    const field = made("input", "share-address", { type: "text", readOnly: true, value: url });
    field.setAttribute("aria-label", say(this.words.link, { n: number }));
    field.addEventListener("focus", () => field.select());
    const when = expires ? say(this.words.until, { when: new Date(expires).toLocaleString() }) : this.words.forever;
    const open = made("a", "text", { href: url, target: "_blank", rel: "noopener", textContent: this.words.open });
    entry.append(field, this.button("copy"), open, this.button("revoke"), made("small", "", { textContent: when }));
    return entry;
  }

  button(name) {
    const button = made("button", "text", { type: "button", textContent: this.words[name] });
    button.dataset.do = name;
    return button;
  }

  async act(button) {
    const { slug } = button.closest("[data-slug]").dataset;
    if (button.dataset.do === "copy") await this.shell.copy(this.address(slug), button);
    else {
      await ask(`/api/shares/${encodeURIComponent(slug)}`, { method: "DELETE" });
      await this.refresh();
      this.shell.toast(this.words.revoked);
      this.dialog.querySelector(".share-new button").focus();
    }
  }
}

function made(name, className, properties = {}) {
  return Object.assign(document.createElement(name), { className, ...properties });
}
