// Brings a shared page to life: words and marks light each other up, and the runs on it play again. The page is a
// still without it (`visualizers/page.py`).
import { Evidence } from "./evidence.js";
import { raw } from "./raw.js";
import { Replay, ReplayControls } from "./replay.js";
import { Stream } from "./stream.js";

const VIEW_WIDTH = 1000;

export function start(main) {
  const columns = [...main.querySelectorAll("article.column")].map(bring);
  const embedded = [...document.querySelectorAll("script.timeline")];
  const loading = columns.map(({ root }) => {
    const address = root.dataset.timeline;
    return address ? fetched(address) : JSON.parse(embedded.shift().textContent);
  });
  Promise.all(loading).then((timelines) => {
    const tracks = columns.map(({ stream }, index) => ({ timeline: timelines[index], stream }));
    const [{ timeline, stream }, ...beside] = tracks;
    const replay = new Replay(timeline, { stream, beside });
    new ReplayControls(main.querySelector(".replay"), replay);
    const keys = { r: () => replay.toggle(), ",": () => replay.step(-1), ".": () => replay.step(1) };
    document.addEventListener("keydown", ({ key, target, ctrlKey, metaKey, altKey }) => {
      if (!ctrlKey && !metaKey && !altKey && !target.closest("select") && Object.hasOwn(keys, key)) keys[key]();
    });
  });
}

function bring(root) {
  const evidence = new Evidence(root);
  const marks = root.querySelector(".marks");
  if (marks) {
    const size = ([{ contentRect }]) => marks.style.setProperty("--k", VIEW_WIDTH / contentRect.width);
    new ResizeObserver(size).observe(marks);
  }
  root.addEventListener("click", (event) => {
    const button = event.target.closest(".raw-toggle");
    if (button) raw(button);
  });
  return { root, stream: new Stream(root, () => evidence.drawn()) };
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

start(document.querySelector("main[data-still]"));
