// Shows the text as the model wrote it, or the view of it.
export function raw(button) {
  const shows = button.getAttribute("aria-pressed") !== "true";
  const answer = button.closest(".structured");
  button.setAttribute("aria-pressed", String(shows));
  answer.querySelector(".raw").hidden = !shows;
  answer.querySelector(".structured-view").hidden = shows;
}
