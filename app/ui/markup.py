"""Building blocks of the page's skeleton. Gradio reads it as a template, so template signs are escaped."""

from __future__ import annotations

from dreamscope.visualizers.escape import escape

_TEMPLATE_SIGNS = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;", "\\": "&#92;"})


def text(value: str) -> str:
    """`value` as character data that neither HTML nor Gradio's template languages can misread."""
    return escape(value).translate(_TEMPLATE_SIGNS)


def attributes(**values: str | bool) -> str:
    """Attributes in order; `_` in a name becomes `-`, `class_` is `class`; `True` is a bare attribute and
    `False` leaves it out."""
    parts = []
    for name, value in values.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(key)
        elif value is not False:
            parts.append(f'{key}="{text(str(value))}"')
    return " ".join(parts)
