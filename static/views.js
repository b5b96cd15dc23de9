// Which view is shown. The address holds the view and its state, so that a link or a reload leads to the same.
// Views are loaded when they are first shown; what they are is said in `page.js`.
const MODULES = {
  playground: () => import("./playground.js").then(({ Playground }) => Playground),
  compare: () => import("./compare.js").then(({ Compare }) => Compare),
  history: () => import("./history.js").then(({ History }) => History),
  pipeline: () => import("./pipeline.js").then(({ Pipeline }) => Pipeline),
};
const FIRST = "playground";

export class Views {
  constructor(shell) {
    this.shell = shell;
    this.root = shell.root;
    this.made = new Map();
    this.making = new Map();
    this.left = new Map(); // the parameters each view was left with
    this.name = null;
    this.root.addEventListener("click", (event) => this.click(event));
    addEventListener("popstate", () => this.open(...this.address()));
  }

  start() {
    return this.open(...this.address());
  }

  get current() {
    return this.made.get(this.name);
  }

  // Every view that was made hears every message.
  tell(message) {
    for (const view of this.made.values()) view.receive?.(message);
  }

  address() {
    const params = new URLSearchParams(location.search);
    const wanted = params.get("view");
    params.delete("view");
    return [Object.hasOwn(MODULES, wanted) ? wanted : FIRST, params];
  }

  // Shows a view; without `params` as it was left. With `replace` the address only notes the state that the view
  // is in already.
  async go(name, params, { replace = false } = {}) {
    const wanted = new URLSearchParams(params ?? this.left.get(name) ?? "");
    if (replace && this.name !== name) {
      this.left.set(name, wanted); // it is not shown any more, and comes back like this
      return;
    }
    const url = this.url(name, wanted);
    if (url !== location.pathname + location.search) window.history[replace ? "replaceState" : "pushState"](null, "", url);
    if (replace && this.name === name) this.left.set(name, wanted);
    else await this.open(name, wanted);
  }

  // The view notes its own new state, as a step that one can come back from.
  push(params) {
    this.left.set(this.name, new URLSearchParams(params));
    const url = this.url(this.name, params);
    if (url !== location.pathname + location.search) window.history.pushState(null, "", url);
  }

  url(name, params) {
    const view = name === FIRST ? [] : [["view", name]];
    const text = new URLSearchParams([...view, ...params]).toString();
    return text ? `${location.pathname}?${text}` : location.pathname;
  }

  async open(name, params) {
    if (this.name !== name) {
      this.current?.close?.();
      this.name = name;
      this.mark(name);
    }
    this.left.set(name, new URLSearchParams(params));
    const view = await this.make(name);
    if (this.name === name) await view.open(params);
  }

  mark(name) {
    this.root.dataset.view = name;
    for (const view of this.root.querySelectorAll(".view")) view.hidden = view.dataset.view !== name;
    for (const link of this.root.querySelectorAll(".nav [data-go]")) {
      if (link.dataset.go === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  // Two calls at once must not make it twice.
  make(name) {
    if (!this.making.has(name)) this.making.set(name, this.load(name));
    return this.making.get(name);
  }

  async load(name) {
    const View = await MODULES[name]();
    const view = new View(this.root.querySelector(`.view[data-view="${name}"]`), this.shell);
    this.made.set(name, view);
    const { engine, models } = this.shell;
    if (engine) view.receive?.({ engine });
    if (models.model) view.receive?.({ model: models.model });
    return view;
  }

  next() {
    const names = Object.keys(MODULES);
    return this.go(names[(names.indexOf(this.name) + 1) % names.length]);
  }

  // Links of the navigation and to runs; with a modifier the browser opens them its own way.
  click(event) {
    const link = event.target.closest("[data-go], .audit-run");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (link.matches(".audit-run")) {
      this.go(FIRST, { run: link.dataset.run });
      return;
    }
    if (link.dataset.go !== this.name) this.go(link.dataset.go);
  }
}
