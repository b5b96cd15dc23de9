"""What the forms of the playground and of the compare view are both made of; ids begin with `prefix`."""

from __future__ import annotations

from collections.abc import Mapping

from dreamscope.app.config import CAPTION_LENGTHS, FORMATS, PAGE_SKILLS
from dreamscope.app.ui.markup import attributes, text

_FORMATS = {
    "text": "Text",
    "json": "JSON",
    "schema": "JSON schema",
    "xml": "XML",
    "markdown": "Markdown",
    "csv": "CSV",
}


def tabs_html(prefix: str) -> str:
    """A tab for each skill, of which the first is chosen."""
    return "".join(_tab(skill, prefix) for skill in PAGE_SKILLS)


def formats_html() -> str:
    """The options of what form an answer may have."""
    return "".join(f'<option value="{name}">{text(_FORMATS[name])}</option>' for name in FORMATS)


def lengths_html() -> str:
    """The lengths of a caption to choose from."""
    return choices_html("length", {name: name.capitalize() for name in CAPTION_LENGTHS}, "normal")


def choices_html(group: str, labels: Mapping[str, str], chosen: str) -> str:
    """Radio buttons of one group, by value."""
    return "".join(_choice(group, value, label, value == chosen) for value, label in labels.items())


def _tab(skill: str, prefix: str) -> str:
    chosen = skill == PAGE_SKILLS[0]
    data = attributes(
        type="button",
        role="tab",
        id=f"{prefix}-tab-{skill}",
        data_tab=skill,
        aria_controls=f"{prefix}-form",
        aria_selected=str(chosen).lower(),
        tabindex="0" if chosen else "-1",
    )
    return f"<button {data}>{skill.capitalize()}</button>"


def _choice(group: str, value: str, label: str, chosen: bool) -> str:
    control = attributes(type="radio", name=group, value=value, checked=chosen)
    return f"<label><input {control}><span>{text(label)}</span></label>"
