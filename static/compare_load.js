// Runs of the history as columns show them.
import { address, ask } from "./api.js";
import { runPath } from "./query.js";

const FORMATS = { json_object: "json", json_schema: "schema", xml: "xml", markdown: "markdown", csv: "csv" };

// For each run: `run` as the history tells it, `ask` as the form says it, `begin` and `fragments` for its column.
export function loadRuns(ids, width) {
  return Promise.all(ids.map((id) => loadRun(id, width)));
}

async function loadRun(id, width) {
  const [run, timeline] = await Promise.all([ask(runPath(id)), ask(address(runPath(id, "/timeline"), { width }))]);
  const begin = { id, title: timeline.title, reasoning: timeline.reasoning, parts: several(timeline.parts) };
  return { run, picture: run.picture, ask: asked(run), begin, fragments: timeline.frames.flatMap(([, all]) => all) };
}

function several(parts) {
  return parts?.length > 1 ? parts : [];
}

// What the form calls a `response_format`.
export function formatOf(format) {
  return FORMATS[format?.type] ?? "text";
}

function asked({ parts, skill }) {
  const { create } = parts[0];
  const { face } = create;
  return {
    skill,
    question: create.question,
    object: create.object,
    objects: parts.length > 1 ? parts.map((part) => part.create.object) : undefined,
    length: create.length,
    reasoning: create.reasoning ?? undefined,
    format: formatOf(create.response_format),
    schema: create.response_format?.schema && JSON.stringify(create.response_format.schema, null, 2),
    refs: create.spatial_refs,
    eye: create.eye,
    face: face && [face.x_min, face.y_min, face.x_max, face.y_max],
    settings: create.settings ?? {},
  };
}

// What the second ask says otherwise than the first, as a column's own values.
export function differences(first, second) {
  const own = {};
  const prompt = (one) => one.question ?? one.objects?.join(", ") ?? one.object ?? "";
  if (prompt(second) !== prompt(first)) own.prompt = prompt(second);
  if (second.reasoning !== first.reasoning && second.reasoning !== undefined) own.reasoning = second.reasoning ? "on" : "off";
  for (const [name, value] of Object.entries(second.settings ?? {})) {
    if (String(value) !== String(first.settings?.[name])) own[name] = String(value);
  }
  return own;
}
