// A row that is longer than its place: the wheel moves it, and `data-more` says on which sides there is more of it.
export function sideways(row) {
  const note = () => {
    const hidden = row.scrollWidth - row.clientWidth - row.scrollLeft;
    const more = [row.scrollLeft > 1 && "before", hidden > 1 && "after"];
    row.dataset.more = more.filter(Boolean).join(" ");
  };
  row.addEventListener("scroll", note, { passive: true });
  row.addEventListener("wheel", (event) => {
    if (row.scrollWidth <= row.clientWidth || event.ctrlKey) return;
    event.preventDefault();
    row.scrollLeft += event.deltaY + event.deltaX;
  });
  const sizes = new ResizeObserver(note);
  for (const one of [row, ...row.children]) sizes.observe(one);
}
