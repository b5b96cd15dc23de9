// Fills the sentences that the templates bring: `{name}` is replaced, `{one, many}` chosen by `n`.
export function say(sentence, values = {}) {
  const chosen = typeof sentence === "string" ? sentence : plural(sentence, values.n);
  return chosen.replace(/\{(\w+)\}/g, (hole, name) => (name in values ? amount(values[name]) : hole));
}

function plural({ none, one, many }, n) {
  if (n === 0 && none) return none;
  return n === 1 ? one : many;
}

function amount(value) {
  return typeof value === "number" ? value.toLocaleString() : String(value);
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, count ? Math.floor(Math.log10(count) / 3) : 0);
  const value = count / 1000 ** step;
  return `${value.toLocaleString(undefined, { maximumFractionDigits: value < 10 && step ? 1 : 0 })} ${units[step]}`;
}

// The day as people call it, if `words` has a name for it.
export function day(date, words) {
  const now = new Date();
  const before = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
  if (date.toDateString() === now.toDateString()) return words.today;
  if (date.toDateString() === before.toDateString()) return words.yesterday;
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long", year });
}

export function clock(date) {
  return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
}
