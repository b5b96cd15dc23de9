// Requests to the page's own server. A refusal is thrown as an error with the HTTP `status` and the sentence of the
// server; without an answer the status is 0 and the sentence empty.
export async function ask(path, { method = "GET", json, body, signal } = {}) {
  const headers = json === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error(""), { status: 0 });
  }
  const text = await answer.text();
  const said = answer.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : text;
  if (!answer.ok) throw Object.assign(new Error(said?.error?.message ?? ""), { status: answer.status, field: said?.error?.field });
  return said;
}

// A path with its query; empty values are left out.
export function address(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
