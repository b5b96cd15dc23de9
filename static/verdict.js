// What the audit of a run says under its answer, where there is no inspector. Put into `place` when it is known;
// without an `id` the place is emptied.
import { ask } from "./api.js";
import { runPath } from "./query.js";

export async function showVerdict(place, id) {
  const before = place.dataset.of;
  place.dataset.of = id ?? "";
  if (!id || before !== id) place.replaceChildren();
  if (!id) return;
  let said;
  try {
    said = await ask(runPath(id, "/audit"));
  } catch (error) {
    if (error.status === undefined) throw error;
    return; // deleted meanwhile, or the server is gone, which is said elsewhere
  }
  if (place.dataset.of === id) place.innerHTML = said.brief;
}
