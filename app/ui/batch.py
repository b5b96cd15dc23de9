"""Comparing on many images: the part of the compare view that takes a folder, and its sentences."""

from __future__ import annotations

from dreamscope.app.ui.markup import text
from dreamscope.app.ui.template import fill

_INVITE = "Drop a folder, images or a zip here. The prompt above goes to columns A and B for every image."
_SORTS = (("disagreement", "Disagreement"), ("name", "Name"), ("agreement", "Agreement"))


def batch_html() -> str:
    """The section, hidden until many images are to be compared."""
    sorts = "".join(f'<option value="{name}">{text(label)}</option>' for name, label in _SORTS)
    return fill("batch.html", {"invite": text(_INVITE), "sorts": sorts})


def batch_words() -> dict[str, object]:
    """What its script shows."""
    return {
        "chosen": "Run asks both columns about each.",
        "reading": "Reading the zip…",
        "keeping": "Reading image {n} of {total}",
        "none": "There is no image among these files.",
        "no_images": "Choose a folder, images or a zip first.",
        "too_many": "Up to {most} images can be compared at once.",
        "more": "{n} more",
        "left_out": "{name}: {reason}",
        "title": {"one": "1 image", "many": "{n} images"},
        "remove": "Remove {name}",
        "today": "Today",
        "yesterday": "Yesterday",
        "states": {
            "queued": "Waiting",
            "running": "Running",
            "done": "Done",
            "cancelled": "Cancelled",
            "stopped": "Cancelled",
            "failed": "Failed",
            "interrupted": "Cut off",
        },
    }
