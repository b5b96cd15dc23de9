// The sentences that scripts show come from the page's templates: here those of the whole page.
export function wordsOf(element) {
  return JSON.parse(element.closest(".ds").dataset.words);
}
