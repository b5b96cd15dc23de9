// What came of a batch: the server's report, whose images are sorted here.
const KINDS = {
  disagreement: (a, b) => order(a) - order(b),
  agreement: (a, b) => order(b) - order(a),
  name: (a, b) => name(a).localeCompare(name(b), undefined, { numeric: true }),
};

export class BatchReport {
  // `sorts` is the control that stands above the images; before there are any it waits beside `place`.
  constructor(place, sorts) {
    Object.assign(this, { place, sorts });
    this.by = sorts.querySelector("select");
    this.by.addEventListener("change", () => this.sort());
  }

  show(html) {
    this.clear();
    this.place.innerHTML = html;
    const rows = [...this.place.querySelectorAll(".batch-image")];
    rows.forEach((row, index) => (row.dataset.order = String(index)));
    this.sorts.hidden = rows.length < 2;
    this.place.querySelector(".batch-images")?.before(this.sorts);
    this.sort();
  }

  sort() {
    const list = this.place.querySelector(".batch-images");
    if (list) list.append(...[...list.children].sort(KINDS[this.by.value]));
  }

  clear() {
    this.place.before(this.sorts);
    this.sorts.hidden = true;
    this.place.replaceChildren();
  }
}

// As the server gave them: the largest disagreement first.
function order(row) {
  return Number(row.dataset.order);
}

function name(row) {
  return row.querySelector(".batch-name")?.textContent ?? "";
}
