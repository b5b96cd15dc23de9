// Starts the page. Every word and every piece of a result comes from the server.
import { Page } from "./page.js";

export function mount(element) {
  const root = element.querySelector("#dreamscope");
  if (!root || root.dataset.mounted) return;
  root.dataset.mounted = "true";
  new Page(root).start();
}
