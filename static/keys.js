// Keyboard shortcuts. They stay out of the way of typing.
export const TYPING = "input:not([type='checkbox'], [type='radio']), textarea, select";

export function bindKeys(page) {
  const plain = {
    "/": () => (page.form.prompt ?? page.root.querySelector("[name='length']:checked")).focus(),
    h: () => page.viewer.toggleMarks(),
    p: () => page.viewer.toggleHand(),
    "?": () => page.sheet(),
    "+": () => page.viewer.zoom.by(1.4),
    "=": () => page.viewer.zoom.by(1.4),
    "-": () => page.viewer.zoom.by(1 / 1.4),
    0: () => page.viewer.zoom.fit(),
  };

  document.addEventListener("keydown", (event) => {
    if (page.root.querySelector(".sheet").open) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      page.run();
    } else if (event.key === "Escape") {
      if (!page.evidence.release()) page.stop();
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.target.matches?.(TYPING)) {
      if (/^[1-9]$/.test(event.key)) page.evidence.pickNumber(Number(event.key));
      else if (plain[event.key]) {
        event.preventDefault();
        plain[event.key]();
      }
    }
  });
}
