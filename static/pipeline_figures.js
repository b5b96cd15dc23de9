// The figures beside the timeline: what the device did, what the cost model says, charts of the last seconds, and all of
// it as a table.
import { say } from "./say.js";
import { DEVICE_PARTS, shares, tokens } from "./pipeline_steps.js";

const SAMPLES = 100;
const EVERY_MS = 200;
const TABLE_MS = 1000;
const PAGES = ["private", "cached", "free"];

export class Figures {
  constructor(root, words) {
    Object.assign(this, { root, words });
    this.slots = Object.fromEntries([...root.querySelectorAll(".pl-side [data-slot]")].map((slot) => [slot.dataset.slot, slot]));
    this.charts = Object.fromEntries([...root.querySelectorAll("[data-chart]")].map((chart) => [chart.dataset.chart, chart]));
    this.all = root.querySelector(".pl-all");
    this.all.addEventListener("toggle", () => this.table(true));
    this.clear();
  }

  // Another engine: what was sampled of the last one says nothing of it.
  clear() {
    this.series = { tokens: [], rows: [], waiting: [], hits: [] };
    this.drawn = this.tabled = -Infinity;
  }

  // `now`: the moment of the engine's clock up to which all steps are known.
  take(trace, steps, now, seconds, at) {
    this.trace = trace;
    const { gauges } = trace;
    const last = trace.steps.findLast(({ kind }) => kind === "decode");
    const working = gauges.running + gauges.waiting > 0;
    this.sample("tokens", tokens(steps, now));
    this.sample("rows", last ? last.rows.length - last.zombies : working ? this.series.rows.at(-1) ?? 0 : 0);
    this.sample("waiting", gauges.waiting);
    this.sample("hits", gauges.prompt_positions ? (100 * gauges.hit_positions) / gauges.prompt_positions : 0);
    if (at - this.drawn < EVERY_MS) return;
    this.drawn = at;
    this.draw(steps, now, seconds);
    if (at - this.tabled >= TABLE_MS) this.table();
  }

  sample(name, value) {
    const series = this.series[name];
    series.push(value);
    if (series.length > SAMPLES) series.shift();
  }

  draw(steps, now, seconds) {
    this.busy(shares(steps, now - seconds * 1000, now), seconds);
    this.forecast(this.trace.predicted);
    for (const [name, chart] of Object.entries(this.charts)) this.chart(chart, name, this.series[name]);
    const { gauges } = this.trace;
    const pages = Object.fromEntries(PAGES.map((part) => [part, gauges[`pages_${part}`]]));
    meter(this.slots["pages-meter"], pages);
    this.slots.pages.textContent = say(this.words.pages, pages);
  }

  busy(part, seconds) {
    const { words, slots } = this;
    slots.busy.textContent = part ? percent(1 - part.bubble) : "–";
    slots["busy-note"].textContent = say(part ? words.busy : words.busy_none, { seconds, bubble: percent(part?.bubble ?? 0) });
    meter(slots["busy-meter"], part ?? Object.fromEntries(DEVICE_PARTS.map((name) => [name, 0])));
  }

  forecast(known) {
    const { slots, words } = this;
    const ms = (value) => (value == null ? "–" : `${value.toFixed(2)} ms`);
    slots.blocking.textContent = ms(known?.blocking);
    slots.pipelined.textContent = ms(known?.pipelined);
    slots["measured-blocking"].textContent = ms(known?.measured_blocking);
    slots["measured-pipelined"].textContent = ms(known?.measured_pipelined);
    slots.gain.textContent = known ? gained(known.blocking / known.pipelined) : "–";
    const both = known && known.measured_blocking != null && known.measured_pipelined != null;
    slots["measured-gain"].textContent = both ? gained(known.measured_blocking / known.measured_pipelined) : "–";
    if (!known) {
      slots.forecast.textContent = words.forecast.none;
      return;
    }
    const host = known.launch + known.mask + known.commit;
    const said = say(host > known.device ? words.forecast.host : words.forecast.device, {
      rows: known.rows,
      host: host.toFixed(2),
      device: known.device.toFixed(2),
    });
    slots.forecast.textContent = both ? said : `${said} ${words.forecast.switch}`;
  }

  chart(chart, name, series) {
    const most = name === "hits" ? 100 : Math.max(4, ...series);
    const points = series.map((value, i) => `${(i + SAMPLES - series.length).toFixed(0)} ${(27 - (26 * value) / most).toFixed(1)}`);
    chart.querySelector("b").textContent = name === "hits" ? percent(series.at(-1) / 100) : series.at(-1).toLocaleString();
    chart.querySelector(".line").setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    const ground = `L100 28L${SAMPLES - series.length} 28Z`;
    chart.querySelector(".fill").setAttribute("d", points.length > 1 ? `M${points.join("L")}${ground}` : "");
  }

  // Drawn anew only while somebody looks.
  table(now = false) {
    if (!this.all.open || !this.trace) return;
    this.tabled = now ? -Infinity : this.drawn;
    const { gauges, totals, ...rest } = this.trace;
    const values = { ...rest, ...gauges, ...totals };
    const rows = Object.entries(this.words.table).filter(([name]) => values[name] != null);
    this.slots.table.replaceChildren(...rows.map(([name, said]) => row(said, values[name])));
  }
}

function row(said, value) {
  const line = document.createElement("tr");
  const name = Object.assign(document.createElement("th"), { scope: "row", textContent: said });
  line.append(name, Object.assign(document.createElement("td"), { textContent: value.toLocaleString() }));
  return line;
}

function meter(element, values) {
  const sum = Object.values(values).reduce((a, b) => a + b, 0) || 1;
  for (const part of element.children) part.style.width = `${(100 * values[part.dataset.part]) / sum}%`;
}

function percent(share) {
  const value = 100 * share;
  return `${value.toFixed(value < 99.95 && value > 0.05 && (value > 99 || value < 10) ? 1 : 0)}\u00a0%`;
}

function gained(ratio) {
  const by = 100 * (ratio - 1);
  return `${by < 0 ? "−" : "+"}${Math.abs(by).toFixed(by < 10 ? 1 : 0)} %`;
}
