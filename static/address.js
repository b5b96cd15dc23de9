// An ask as parameters of an address, and back. Short names, because people see them.
const LISTS = { refs: "ref", objects: "q" };
const TEXTS = ["skill", "model", "variant", "length", "format", "schema", "preset"];
const SETTING = "s.";

export function paramsOf(ask) {
  const params = new URLSearchParams();
  for (const name of TEXTS) if (ask[name] && !(name === "format" && ask[name] === "text")) params.append(name, ask[name]);
  for (const [name, short] of Object.entries(LISTS)) for (const one of ask[name] ?? []) params.append(short, String(one));
  if (!ask.objects) {
    const prompt = ask.question ?? ask.object;
    if (prompt) params.append("q", prompt);
  }
  if (ask.reasoning === false) params.append("reasoning", "0");
  for (const name of ["eye", "face"]) if (ask[name]) params.append(name, String(ask[name]));
  if (ask.force) params.append("force", "1");
  for (const [name, value] of Object.entries(ask.settings ?? {})) params.append(SETTING + name, String(value));
  return params;
}

// Only what the address says; the rest is left out.
export function askOf(params) {
  const ask = {};
  for (const name of TEXTS) if (params.get(name)) ask[name] = params.get(name);
  const prompts = params.getAll("q");
  if (prompts.length > 1) ask.objects = prompts;
  else if (prompts.length) Object.assign(ask, { question: prompts[0], object: prompts[0] });
  const refs = params.getAll("ref").map(numbers).filter(({ length }) => length === 2 || length === 4);
  if (refs.length) ask.refs = refs;
  if (numbers(params.get("eye")).length === 2) ask.eye = numbers(params.get("eye"));
  if (numbers(params.get("face")).length === 4) ask.face = numbers(params.get("face"));
  if (params.has("force")) ask.force = true;
  if (params.has("reasoning")) ask.reasoning = params.get("reasoning") !== "0";
  ask.settings = {};
  for (const [name, value] of params) if (name.startsWith(SETTING)) ask.settings[name.slice(SETTING.length)] = value;
  return ask;
}

// Fractions of the image; anything else is none.
function numbers(text) {
  const all = (text ?? "").split(",").map(Number);
  return text && all.every((value) => value >= 0 && value <= 1) ? all : [];
}
