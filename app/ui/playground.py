"""The skeleton of the playground: where everything goes, with every word it shows. No behaviour, no results.

`playground.html` holds the structure, and its holes are filled in here. The page's scripts put results into
the elements marked `data-slot` as fragments made on the server, never the other way round: model text does
not come near this template.
"""

from __future__ import annotations

from dreamscope.app import words
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.ui import said
from dreamscope.app.ui.column import answer_html, plate_html
from dreamscope.app.ui.examples import Example
from dreamscope.app.ui.form_parts import choices_html, formats_html, lengths_html, tabs_html
from dreamscope.app.ui.markup import attributes, text
from dreamscope.app.ui.settings_form import settings_html
from dreamscope.app.ui.template import fill
from dreamscope.visualizers.controls import controls

_SHOWN_WHEN_EMPTY = 3
_REFS_LAYER = '<div class="refs" role="group" aria-label="References" aria-describedby="ds-refs-hint"></div>'
_PROMPTS = (
    ("query", "question", "Question", "How many dogs are there?"),
    ("point", "object", "What to point at", "dog, tree, house"),
    ("detect", "object", "What to find", "dog, tree, house"),
    ("segment", "object", "What to outline", "dog, tree, house"),
)
_GAZE_SOURCES = {"eye": "Fast, from an eye", "face": "Accurate, from a face"}
_REFERENCES = {
    "point": "Point {n}, at x {x}, y {y}",
    "box": "Box {n}, from x {x}, y {y} to x {x2}, y {y2}",
    "eye": "Eye, at x {x}, y {y}",
    "face": "Face, from x {x}, y {y} to x {x2}, y {y2}",
    "corner": "Corner of the box, at x {x}, y {y}",
    "keys": words.REFERENCE_KEYS,
    "remove": "Remove",
    "removed": "Removed. {count} left.",
    "count": "{count} placed",
}
_INSPECT = (
    ("audit", "Audit"),
    ("events", "Events"),
    ("json", "JSON"),
    ("code", "Code"),
    ("metrics", "Metrics"),
    ("truth", "Truth"),
    ("notes", "Notes"),
)
_DOWNLOADS = (
    ("Image with marks", (("annotated.png", "PNG"), ("annotated.svg", "SVG"))),
    ("Mask", (("mask.png", "PNG"), ("mask.svg", "SVG"))),
    ("Result", (("result.json", "JSON"), ("places.csv", "CSV"))),
    ("Dataset", (("coco.json", "COCO"), ("yolo.zip", "YOLO"), ("labelstudio.json", "Label Studio"))),
)


def playground_words() -> dict[str, object]:
    """The sentences that the playground's scripts show."""
    return {
        "unreadable": words.IMAGE_UNREADABLE,
        "too_big": words.image_too_big(IMAGE_LIMIT_BYTES),
        "missing_image": words.IMAGE_MISSING,
        "no_example": words.IMAGE_NOT_FOUND,
        "schema_not_json": words.schema_not_json("{reason}"),
        "schema_no_object": words.SCHEMA_NO_OBJECT,
        "references": _REFERENCES,
        "hints": {"many": words.REFERENCE_HINT, "gaze": words.GAZE_HINT, "truth": words.REFERENCE_HINT},
        **said.PLAYGROUND,
    }


def playground_html(examples: tuple[Example, ...]) -> str:
    """The view, one `<main data-view="playground">`."""
    parts = {
        "limit": str(IMAGE_LIMIT_BYTES),
        "assurance": text(said.ASSURANCE),
        "link_help": text(said.LINK_HELP),
        "tags_help": text(said.TAGS_HELP),
        "truth_help": text(said.TRUTH_HELP),
        "plate": plate_html(_REFS_LAYER),
        "answer": answer_html(fill("answer_tools.html", {}), _deeds()),
        "replay": controls(),
        "inspect_tabs": "".join(_inspect_tab(*row) for row in _INSPECT),
        "invite": text(words.EMPTY),
        "alone": text(words.ALONE),
        "hint": text(words.STREAM_HINT),
        "cards": "".join(_card(example) for example in examples[:_SHOWN_WHEN_EMPTY]),
        "thumbs": "".join(_thumb(example) for example in examples),
        "tabs": tabs_html("ds"),
        "prompts": "".join(_prompt(*row) for row in _PROMPTS),
        "lengths": lengths_html(),
        "formats": formats_html(),
        "sources": choices_html("source", _GAZE_SOURCES, "eye"),
        "settings": settings_html(),
    }
    return fill("playground.html", parts)


def _deeds() -> str:
    downloads = "".join(_downloads(*row) for row in _DOWNLOADS)
    return fill("deeds.html", {"downloads": downloads, "uncertainty": text(said.UNCERTAINTY)})


def _downloads(what: str, forms: tuple[tuple[str, str], ...]) -> str:
    links = "".join(
        f'<a role="link" data-download="{name}" data-closes download>{text(label)}</a>'
        for name, label in forms
    )
    why = '<small class="download-why"></small>'
    return f'<div role="group" aria-label="{text(what)}"><span>{text(what)}</span>{links}{why}</div>'


def _inspect_tab(name: str, label: str) -> str:
    data = attributes(
        type="button",
        role="tab",
        id=f"ds-inspect-{name}",
        data_inspect=name,
        aria_controls=f"ds-{name}" if name in ("notes", "truth") else "ds-inspect",
        aria_selected="false",
        tabindex="0" if name == "audit" else "-1",
    )
    return f"<button {data}>{text(label)}</button>"


def _card(example: Example) -> str:
    return _example(example, "card", f"<span>{text(_invitation(example))}</span>")


def _thumb(example: Example) -> str:
    return _example(example, "thumb", "", title=_invitation(example))


def _invitation(example: Example) -> str:
    label = example.skill.capitalize()
    if example.skill == "query":
        return example.question
    if example.skill == "gaze":
        return "Follow the gaze"
    return f"{label} it" if example.skill == "caption" else f"{label}: {example.question}"


def _example(example: Example, kind: str, caption: str, **extra: str) -> str:
    data = attributes(
        class_=kind,
        type="button",
        data_example=example.file,
        data_question=example.question,
        data_skill=example.skill,
        data_alt=example.alt,
        aria_label=f"Example scene: {example.alt}. {_invitation(example)}",
        **extra,
    )
    picture = attributes(src=f"/example/{example.file}", alt="", draggable="false")
    return f"<button {data}><img {picture}>{caption}</button>"


def _prompt(skill: str, field: str, label: str, placeholder: str) -> str:
    control = attributes(
        id=f"ds-prompt-{skill}",
        name=field,
        rows="2" if skill == "query" else "1",
        placeholder=placeholder,
        spellcheck="true" if skill == "query" else "false",
        autocomplete="off",
        enterkeyhint="go",
        aria_describedby="ds-prompt-error",
        data_prompt=skill,
    )
    heading = f'<label class="vh" for="ds-prompt-{skill}">{text(label)}</label>'
    return f'<div class="prompt" data-only="{skill}">{heading}<textarea {control}></textarea></div>'
