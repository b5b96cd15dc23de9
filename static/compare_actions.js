// What the person does in the compare view by buttons and keys.
import { NO_IMAGE } from "./compare_image.js";

// The shortcuts of the view, as `keys.js` takes them.
export function shortcuts(compare) {
  const { findings, form } = compare;
  return {
    submit: () => compare.runs.run(),
    escape: () => {
      const lit = compare.sides.map(({ column }) => column.evidence.release()).some(Boolean);
      if (!lit) compare.runs.stop();
    },
    number: (number) => compare.sides[0].column.evidence.pickNumber(number),
    "/": () => form.prompt.focus(),
    d: () => findings.toggle("differ"),
    w: () => findings.toggle("words"),
    h: () => toggleMarks(compare),
    "+": () => zoomOf(compare).by(1.4),
    "=": () => zoomOf(compare).by(1.4),
    "-": () => zoomOf(compare).by(1 / 1.4),
    0: () => zoomOf(compare).fit(),
  };
}

export function bindActions(compare) {
  const { root, keys } = compare;
  const actions = {
    stop: () => compare.runs.stop(),
    keep: () => compare.runs.keep(),
    open: () => compare.image.file.click(),
    "no-image": async () => {
      await compare.image.use(NO_IMAGE);
      compare.address.write();
      compare.form.prompt.focus();
    },
    add: () => {
      compare.add();
      compare.regroup();
    },
    differ: keys.d,
    words: keys.w,
    marks: keys.h,
    "zoom-in": keys["+"],
    "zoom-out": keys["-"],
    fit: keys[0],
    share: () => compare.shell.share({ comparison: compare.comparison }),
  };
  const ofSides = {
    own: (side) => side.toggleOwn(),
    swap: (side) => compare.swap(side),
    remove: (side) => compare.remove(side),
  };
  root.addEventListener("click", (event) => {
    const act = event.target.closest("[data-do]")?.dataset.do;
    const side = compare.sides.find((one) => one.root.contains(event.target));
    if (side && ofSides[act]) ofSides[act](side);
    else actions[act]?.();
  });
  for (const choice of root.querySelectorAll("[name='cmp-mode']")) {
    choice.addEventListener("change", () => {
      compare.setMode(choice.value);
      if (choice.value === "many") compare.batch.list();
      compare.address.write({ push: true });
    });
  }
}

// The views are linked: what one does, all do.
function zoomOf({ sides }) {
  return sides[0].column.viewer.zoom;
}

function toggleMarks({ sides, root }) {
  for (const { column } of sides) column.viewer.toggleMarks();
  const hidden = sides[0].column.viewer.marks.classList.contains("off");
  root.querySelector("[data-do='marks']").setAttribute("aria-pressed", String(!hidden));
}
