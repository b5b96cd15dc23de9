// One prompt, two columns, many images: a folder, several files or a zip. The server asks and reports; this shows
// what was chosen, how far it is, and what came of it.
import { address, ask } from "./api.js";
import { BatchFiles, dropped } from "./batch_files.js";
import { BatchList } from "./batch_list.js";
import { BatchReport } from "./batch_report.js";
import { say } from "./say.js";

const POLL_MS = 700;
const REPORT_MS = 2000;
const SHOWN = 60;
const LIVE = ["queued", "running"];

export class Batch {
  constructor(compare) {
    this.compare = compare;
    this.root = compare.root.querySelector(".bt");
    this.words = compare.words.batch;
    this.id = null;
    this.images = []; // {hash, name}
    this.choosing = null; // the promise of the files that were chosen last
    this.turn = 0;
    this.state = null; // of the batch that is shown
    this.files = new BatchFiles({
      words: this.words,
      tell: (text, share) => this.work(text, share),
      reason: (error) => this.reason(error),
    });
    this.report = new BatchReport(this.part("report"), this.part("sort"));
    this.earlier = new BatchList(this.part("earlier"), {
      words: this.words,
      current: () => this.id,
      fail: (error) => this.fail(this.reason(error)),
    });
    this.bind();
  }

  get running() {
    return LIVE.includes(this.state);
  }

  part(name) {
    return this.root.querySelector(`.bt-${name}`);
  }

  // -------------------------------------------------------------------------------------- choosing

  choose(files) {
    if (this.running || !files.length) return;
    this.forget();
    this.choosing = this.take(files);
  }

  async take(files) {
    const { turn } = this;
    const { images, skipped } = await this.files.store(files);
    if (turn !== this.turn) return; // something else was chosen meanwhile
    this.images = images;
    if (!images.length) {
      this.forget();
      this.fail(skipped.length ? skipped.map((one) => say(this.words.left_out, one)).join(" ") : this.words.none);
      return;
    }
    this.left(skipped);
    this.drawImages();
    this.part("progress").hidden = true;
  }

  reason(error) {
    return error.message || this.compare.shell.words.offline_short;
  }

  drawImages() {
    const shown = this.images.slice(0, SHOWN).map((image, index) => {
      const item = made("li", "bt-image");
      const picture = made("img");
      Object.assign(picture, { src: `/api/images/${image.hash}/thumb`, alt: image.name, title: image.name, loading: "lazy" });
      const remove = Object.assign(made("button", "bt-remove"), { type: "button", textContent: "×" });
      remove.setAttribute("aria-label", say(this.words.remove, { name: image.name }));
      remove.addEventListener("click", () => this.drop(index));
      item.append(picture, remove);
      return item;
    });
    const rest = this.images.length - SHOWN;
    if (rest > 0) shown.push(Object.assign(made("li", "bt-rest"), { textContent: say(this.words.more, { n: rest }) }));
    this.part("images").replaceChildren(...shown);
    this.part("images").hidden = false;
    this.part("title").textContent = say(this.words.title, { n: this.images.length });
    this.part("said").textContent = this.words.chosen;
  }

  drop(index) {
    this.images.splice(index, 1);
    if (this.images.length) this.drawImages();
    else this.forget();
  }

  left(skipped) {
    const list = this.part("skipped");
    list.replaceChildren(...skipped.map((one) => Object.assign(made("li"), { textContent: say(this.words.left_out, one) })));
    list.hidden = skipped.length === 0;
  }

  // --------------------------------------------------------------------------------------- running

  async run() {
    this.fail("");
    await this.choosing;
    if (this.running) return;
    if (!this.images.length) {
      this.fail(this.words.no_images);
      return;
    }
    const columns = this.compare.runs.asks(2);
    if (!columns || this.compare.runs.asksFirst(this.compare.sides.slice(0, 2))) return;
    try {
      const { id } = await ask("/api/batches", { method: "POST", json: { title: this.compare.form.title, images: this.images, columns } });
      this.id = id;
    } catch (error) {
      this.fail(this.reason(error));
      return;
    }
    this.compare.address.write({ push: true });
    this.state = "running";
    this.compare.draw();
    await this.watch(this.id);
  }

  cancel() {
    return this.change("cancel");
  }

  async change(what) {
    try {
      await ask(`/api/batches/${encodeURIComponent(this.id)}/${what}`, { method: "POST" });
    } catch (error) {
      this.fail(this.reason(error));
    }
    await this.watch(this.id);
  }

  // Asks again and again while it goes on; the whole report comes less often than its state.
  async watch(id) {
    clearTimeout(this.polling);
    const path = `/api/batches/${encodeURIComponent(id)}`;
    const turn = ++this.turn;
    let [seen, at] = [-1, 0];
    while (this.id === id && turn === this.turn) {
      let found;
      try {
        found = await ask(address(path, { report: "0" }));
        const news = found.done !== seen && (Date.now() - at > REPORT_MS || seen < 1);
        if (news || !LIVE.includes(found.state)) {
          found = await ask(path);
          [seen, at] = [found.done, Date.now()];
        }
      } catch (error) {
        this.fail(this.reason(error));
        if (error.status) {
          this.state = null;
          this.compare.draw();
          return;
        }
        found = null;
      }
      if (turn !== this.turn || this.id !== id) return;
      if (found) this.draw(found);
      if (found && !LIVE.includes(found.state)) return;
      await new Promise((resolve) => {
        this.polling = setTimeout(resolve, POLL_MS);
      });
    }
  }

  draw(batch) {
    this.fail("");
    this.state = batch.state;
    this.root.dataset.state = batch.state;
    const live = LIVE.includes(batch.state);
    this.work(batch.text, batch.total ? batch.done / batch.total : 0);
    this.part("title").textContent = batch.title || say(this.words.title, { n: batch.total });
    this.part("progress").hidden = batch.state === "done";
    this.part("images").hidden = true;
    this.button("cancel").hidden = !live;
    this.button("continue").hidden = !["cancelled", "interrupted", "stopped"].includes(batch.state);
    for (const form of ["csv", "json"]) {
      this.button(form).hidden = batch.done === 0;
      this.button(form).href = `/api/batches/${encodeURIComponent(batch.id)}/export.${form}`;
    }
    if (batch.html !== undefined) this.report.show(batch.html);
    if (this.taking && batch.asks) this.compare.takeAsks(batch.asks);
    this.taking = false;
    this.compare.draw();
    if (!live) this.list();
  }

  // ------------------------------------------------------------------------------------ earlier ones

  async show(id) {
    this.fail("");
    this.list();
    if (id === this.id) return;
    this.forget();
    this.id = id;
    this.work("", 0);
    this.taking = true; // what it asked is put into the form
    await this.watch(id);
  }

  list() {
    return this.earlier.refresh();
  }

  // Runs of the history changed; a list that is not seen is read when it is.
  changed() {
    if (this.root.hidden || this.compare.root.hidden || this.running) return;
    clearTimeout(this.listing);
    this.listing = setTimeout(() => this.list(), POLL_MS);
  }

  // ------------------------------------------------------------------------------------- small steps

  work(text, share) {
    this.part("drop").hidden = true;
    this.part("work").hidden = false;
    this.part("said").textContent = text;
    const bar = this.part("progress");
    bar.hidden = false;
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }

  // Back to choosing.
  forget() {
    this.turn += 1;
    clearTimeout(this.polling);
    Object.assign(this, { id: null, state: null, images: [] });
    delete this.root.dataset.state;
    this.part("drop").hidden = false;
    this.part("work").hidden = true;
    this.report.clear();
    this.part("images").replaceChildren();
    this.part("title").textContent = "";
    this.left([]);
    for (const name of ["cancel", "continue", "csv", "json"]) this.button(name).hidden = true;
    this.fail("");
    this.earlier.release();
  }

  button(name) {
    return this.root.querySelector(`[data-bt="${name}"]`);
  }

  fail(text) {
    this.part("error").textContent = text;
  }

  bind() {
    const { root } = this;
    const inputs = { folder: root.querySelector("#bt-folder"), files: root.querySelector("#bt-files") };
    for (const [name, input] of Object.entries(inputs)) {
      this.button(name).addEventListener("click", () => input.click());
      input.addEventListener("change", () => {
        const files = [...input.files];
        input.value = "";
        this.choose(files);
      });
    }
    this.button("cancel").addEventListener("click", () => this.cancel());
    this.button("continue").addEventListener("click", () => this.change("continue"));
    this.button("new").addEventListener("click", () => {
      this.forget();
      this.compare.address.write({ push: true });
      this.compare.draw();
    });
    root.addEventListener("click", (event) => this.follow(event));
    this.bindDrop();
  }

  // Links to a comparison and to another batch stay on this page.
  follow(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const comparison = event.target.closest("a")?.closest("[data-comparison]")?.dataset.comparison;
    const batch = event.target.closest("[data-batch]")?.dataset.batch;
    if (!comparison && !batch) return;
    event.preventDefault();
    this.compare.shell.go("compare", comparison ? { comparison } : { batch });
  }

  bindDrop() {
    const { compare } = this;
    const active = (event) =>
      !compare.root.hidden && compare.mode === "many" && [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event) => {
      if (!active(event)) return;
      event.preventDefault();
      event.stopPropagation();
      compare.root.classList.add("dropping");
    };
    for (const name of ["dragenter", "dragover"]) window.addEventListener(name, over, true);
    window.addEventListener("drop", (event) => {
      if (!active(event)) return;
      event.preventDefault();
      event.stopPropagation();
      compare.root.classList.remove("dropping");
      dropped(event.dataTransfer).then((files) => this.choose(files));
    }, true);
  }
}

function made(name, className = "") {
  return Object.assign(document.createElement(name), { className });
}
