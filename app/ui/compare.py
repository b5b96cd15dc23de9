"""The compare view: its skeleton, its form, and the sentences that its scripts show."""

from __future__ import annotations

from dreamscope.app import words
from dreamscope.app.config import IMAGE_LIMIT_BYTES, PAGE_SKILLS, SAMPLING
from dreamscope.app.ui.batch import batch_html, batch_words
from dreamscope.app.ui.column import answer_html, plate_html
from dreamscope.app.ui.examples import Example
from dreamscope.app.ui.form_parts import formats_html, lengths_html, tabs_html
from dreamscope.app.ui.markup import attributes, text
from dreamscope.app.ui.settings_form import settings_html
from dreamscope.app.ui.template import fill, words_attribute

_SHOWN_WHEN_EMPTY = 3
_INVITE = "Drop an image here, paste one, or start from a scene. Run asks all columns at once."
_PROMPT = "What to ask all columns"
_GAZE = "Click an eye in one of the images."
_KEY = (
    'Same colour: same place · <span class="key-number">1</span> number of the mark · '
    '<span class="key-only">word</span> in one column only'
)
_PLACEHOLDERS = {
    "query": "How many dogs are there?",
    "point": "dog, or several: dog, cat",
    "detect": "dog, or several: dog, cat",
    "segment": "dog, or several: dog, cat",
}
_WORDS = {
    "column": "Column {letter}",
    "model": "Model of column {letter}",
    "own": "Prompt and settings of column {letter} alone",
    "swap": "Swap {letter} and {next}",
    "remove": "Remove column {letter}",
    "run": "Run",
    "run_some": "Run {letters}",
    "brought": "Ran before; kept as it is",
    "kept": "The comparison is kept in the history.",
    "lacks": {skill: f"{{name}} has no {skill}." for skill in PAGE_SKILLS},
    "own_presets": "Yours",
    "placeholders": _PLACEHOLDERS,
    "missing_prompt": words.PROMPT_MISSING,
    "missing_image": words.IMAGE_MISSING,
    "missing_eye": words.GAZE_SOURCE_MISSING,
    "unreadable": words.IMAGE_UNREADABLE,
    "too_big": words.image_too_big(IMAGE_LIMIT_BYTES),
    "no_example": words.IMAGE_NOT_FOUND,
    "schema_not_json": words.schema_not_json("{reason}"),
    "offline": words.PAGE_OFFLINE,
}


def compare_html(examples: tuple[Example, ...]) -> str:
    """The whole view, one `<main data-view="compare">`."""
    said = {**_WORDS, "batch": batch_words(), "limit": IMAGE_LIMIT_BYTES}
    return fill(
        "compare.html",
        {
            "words": words_attribute(said),
            "form": _form(),
            "thumbs": "".join(_thumb(example) for example in examples),
            "cards": "".join(_card(example) for example in examples[:_SHOWN_WHEN_EMPTY]),
            "invite": text(_INVITE),
            "own": _own(),
            "key": _KEY,
            "plate": plate_html('<div class="refs side-refs" aria-hidden="true"></div>'),
            "answer": answer_html(),
            "batch": batch_html(),
        },
    )


def _form() -> str:
    return fill(
        "compare_form.html",
        {
            "tabs": tabs_html("cmp"),
            "formats": formats_html(),
            "lengths": lengths_html(),
            "prompt": text(_PROMPT),
            "gaze": text(_GAZE),
            "settings": settings_html("cmp"),
        },
    )


def _thumb(example: Example) -> str:
    button = attributes(
        type="button", class_="thumb", data_scene=example.file, aria_label=example.alt, title=example.alt
    )
    picture = attributes(src=f"/example/{example.file}", alt="", draggable="false", loading="lazy")
    return f"<button {button}><img {picture}></button>"


def _card(example: Example) -> str:
    button = attributes(
        type="button",
        class_="card",
        data_scene=example.file,
        data_skill=example.skill,
        data_question=example.question,
        aria_label=example.alt,
    )
    picture = attributes(src=f"/example/{example.file}", alt="", draggable="false")
    skill = "" if example.skill == "query" else f"{example.skill.capitalize()}: "
    asked = skill + example.question
    return f"<button {button}><img {picture}><span>{text(asked)}</span></button>"


def _own() -> str:
    """What a column may ask otherwise than the others. Ids come with the column, in the page."""
    prompt = '<textarea name="prompt" rows="1" placeholder="As all columns" autocomplete="off"></textarea>'
    reasoning = (
        '<select name="reasoning"><option value="">As all columns</option>'
        '<option value="on">On</option><option value="off">Off</option></select>'
    )
    rows = [("prompt", "Prompt", prompt), ("reasoning", "Reasoning", reasoning)]
    for row in SAMPLING:
        control = attributes(
            name=row.name,
            type="number",
            inputmode="decimal" if row.type is float else "numeric",
            min=f"{row.minimum:g}",
            max=f"{row.maximum:.0f}" if row.type is int else f"{row.maximum:g}",
            step="1" if row.type is int else "0.01",
            placeholder="As all",
            autocomplete="off",
        )
        rows.append((row.name, words.LABELS[row.name], f"<input {control}>"))
    return "".join(
        f'<div data-own="{name}"><label data-for="{name}">{text(label)}</label>{control}</div>'
        for name, label, control in rows
    )
