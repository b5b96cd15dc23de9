"""The markup of one `Column` (`static/column.js`): an image with its marks, and the words that go with it.

A column's root holds, anywhere below it, a `div.sky` with `plate_html()` in it and a `.stream` with
`answer_html()` in it. Nothing in them has an id, so there may be several.
"""

from __future__ import annotations

from dreamscope.app.ui.template import fill


def plate_html(refs: str = "") -> str:
    """The image, its marks, and what lies over them; `refs` is the layer for places that people point at."""
    return fill("plate.html", {"refs": refs})


def answer_html(tools: str = "", below: str = "") -> str:
    """Status, reasoning, answer, legend, list and metrics; `tools` are buttons beside the title, `below`
    stands between the list and the metrics."""
    return fill("answer.html", {"tools": tools, "below": below})
