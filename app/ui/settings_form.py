"""The settings of the request form, generated from the same table as the command line's flags."""

from __future__ import annotations

from dreamscope.app.config import (
    GREEDY_DEFAULTS,
    GREEDY_SKILLS,
    PAGE_SKILLS,
    SAMPLING,
    SETTINGS_OF_SKILL,
)
from dreamscope.app.ui.markup import attributes, text
from dreamscope.app.words import LABELS
from dreamscope.engine.settings import Setting


def settings_html(prefix: str = "ds") -> str:
    """One labelled number field with its help line per sampling setting; ids begin with `prefix`."""
    return "".join(_field(row, prefix) for row in SAMPLING)


def default_of(row: Setting, skill: str) -> str:
    """What the engine uses for `skill` when the field is left empty, as text."""
    value = GREEDY_DEFAULTS.get(row.name, row.default) if skill in GREEDY_SKILLS else row.default
    return "random" if value is None else f"{value:g}"


def _field(row: Setting, prefix: str) -> str:
    skills = [skill for skill in PAGE_SKILLS if row.name in SETTINGS_OF_SKILL[skill]]
    control = attributes(
        id=f"{prefix}-{row.name}",
        name=row.name,
        type="number",
        inputmode="decimal" if row.type is float else "numeric",
        min=f"{row.minimum:g}",
        max=f"{row.maximum:.0f}" if row.type is int else f"{row.maximum:g}",
        step="1" if row.type is int else "0.05" if row.name == "temperature" else "0.01",
        autocomplete="off",
        placeholder=default_of(row, skills[0]),
        aria_describedby=f"{prefix}-{row.name}-help {prefix}-{row.name}-error",
        **{f"data_default_{skill}": default_of(row, skill) for skill in skills},
    )
    error = attributes(
        class_="field-error", id=f"{prefix}-{row.name}-error", data_error=row.name, aria_live="polite"
    )
    return (
        f'<div class="setting" data-setting="{row.name}" data-skills="{" ".join(skills)}">'
        f'<label for="{prefix}-{row.name}">{text(LABELS[row.name])}</label><input {control}>'
        f'<p class="help" id="{prefix}-{row.name}-help">{text(row.help)}</p>'
        f"<p {error}></p></div>"
    )
