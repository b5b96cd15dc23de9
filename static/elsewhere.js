// A worker that fetches one image from another site. It alone may connect there (`app/guard.py`): pages cannot.
addEventListener("message", async ({ data: url }) => {
  try {
    const answer = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer" });
    postMessage({ status: answer.status, blob: answer.ok ? await answer.blob() : null });
  } catch {
    postMessage({ status: 0, blob: null });
  }
});
