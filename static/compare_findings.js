// What the columns share and where they differ: marks that speak of the same place light each other, the counts
// stand above, and one can ask for the differences alone. Zoom and pan of one column are those of all.
import { address, ask } from "./api.js";
import { recall, remember } from "./prefs.js";

const LIVE = ["queued", "running"];
const SOON_MS = 60;
const SLOW_MS = 2000;

export class Findings {
  constructor(compare) {
    this.compare = compare;
    this.partners = new Map(); // "column ground" -> [[column, ground]]
    this.turn = 0;
    this.strip = compare.root.querySelector("[data-slot='strip']");
    this.shown = { words: recall("compare", {}).words === true, differ: false };
    this.draw();
  }

  // Links a new column with the others.
  follow(side) {
    side.root.addEventListener("column-lit", ({ detail }) => this.light(side, detail));
    side.root.addEventListener("column-view", ({ detail }) => {
      for (const other of this.compare.sides) if (other !== side) other.column.viewer.zoom.set(detail);
    });
  }

  light(side, grounds) {
    const wanted = new Map(this.compare.sides.map((other) => [other, []]));
    for (const ground of grounds) {
      for (const [column, partner] of this.partners.get(`${side.index} ${ground}`) ?? []) {
        const other = this.compare.sides[column];
        if (other && other !== side) wanted.get(other).push(partner);
      }
    }
    for (const [other, names] of wanted) if (other !== side) other.column.evidence.show(names);
  }

  // Another comparison begins, and with it all marks are shown again.
  fresh() {
    this.shown.differ = false;
    this.clear();
    this.draw();
  }

  clear() {
    this.turn += 1;
    this.partners.clear();
    this.strip.replaceChildren();
    this.compare.root.classList.remove("compared");
    for (const side of this.compare.sides) side.clearFindings();
  }

  // Asks the server what the runs that are shown have in common.
  async look(tries = 0) {
    this.clear();
    const { turn } = this;
    const sides = this.compare.sides.filter((side) => side.runId);
    if (sides.length < 2 || this.compare.busy) return;
    let found;
    try {
      found = await ask(address("/api/compare", { run: sides.map((side) => side.runId) }));
    } catch (error) {
      if (turn === this.turn && error.status !== 404) this.compare.shell.fail(error);
      return;
    }
    if (turn !== this.turn) return;
    if (found.columns.some(({ state }) => LIVE.includes(state))) this.lookAgain(tries);
    else this.take(found, sides);
  }

  // The page hears of the end before the history has it.
  lookAgain(tries) {
    const { turn } = this;
    setTimeout(() => turn === this.turn && this.look(tries + 1), Math.min(SOON_MS * 2 ** tries, SLOW_MS));
  }

  take(found, sides) {
    const at = (column) => sides[Number(column)].index;
    for (const { left, right } of found.pairs) {
      const ends = [[at(left.column), left.ground], [at(right.column), right.ground]];
      this.link(ends[0], ends[1]);
      this.link(ends[1], ends[0]);
    }
    this.strip.innerHTML = found.strip;
    sides.forEach((side, index) => {
      const name = String(index);
      side.find({
        only: found.only[name] ?? [],
        tints: found.tints[name] ?? {},
        diff: found.diff[name],
        reasoning: found.reasoning?.[name],
        facts: found.sides[index],
      });
    });
    const { root } = this.compare;
    root.classList.add("compared");
    root.querySelector(".cmp-words").hidden = !root.querySelector(".differing");
    this.draw();
  }

  link([column, ground], partner) {
    const key = `${column} ${ground}`;
    if (this.partners.has(key)) this.partners.get(key).push(partner);
    else this.partners.set(key, [partner]);
  }

  toggle(name) {
    this.shown[name] = !this.shown[name];
    remember("compare", { words: this.shown.words });
    this.draw();
  }

  draw() {
    const { root } = this.compare;
    for (const name of ["differ", "words"]) {
      root.dataset[name] = this.shown[name] ? "on" : "off";
      root.querySelector(`[data-do="${name}"][aria-pressed]`).setAttribute("aria-pressed", String(this.shown[name]));
    }
  }
}
