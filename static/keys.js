// Keyboard shortcuts. They stay out of the way of typing, and of an open dialog.
export const TYPING = "input:not([type='checkbox'], [type='radio'], [type='range'], [type='color']), textarea, select, [contenteditable]";

export function bindKeys(page) {
  document.addEventListener("keydown", (event) => {
    if (page.dialogs.current || event.defaultPrevented) return;
    const { keys = {} } = page.views.current ?? {};
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      keys.submit?.();
    } else if (event.key === "Escape") {
      if (!page.popovers.close({ refocus: true })) keys.escape?.();
    } else if (!event.ctrlKey && !event.metaKey && !event.altKey && !event.target.matches?.(TYPING)) {
      if (event.key === "?") page.dialogs.open("sheet");
      else if (event.key === "g") page.views.next();
      else if (/^[1-9]$/.test(event.key)) keys.number?.(Number(event.key));
      else if (Object.hasOwn(keys, event.key) && event.key.length === 1) {
        event.preventDefault();
        keys[event.key]();
      }
    }
  });
}
