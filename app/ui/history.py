"""The history view: its skeleton and the sentences that its script shows. Rows come from the server later."""

from __future__ import annotations

from dreamscope.app.ui.history_rows import SKILLS
from dreamscope.app.ui.markup import text
from dreamscope.app.ui.template import fill, words_attribute

EMPTY = "Every run is kept here, with its image, each word of its answer, and when it came."
NOTHING = "No run fits these filters."
PEEK = "Choose a run to see it here. Enter opens it in the playground."

_WORDS = {
    "count": {"none": "No runs", "one": "1 run", "many": "{n} runs"},
    "selected": {"one": "1 selected", "many": "{n} selected"},
    "compare_range": "Two to four runs can be compared.",
    "compare_images": "Only runs on the same image can be compared.",
    "deleted": {"one": "The run is deleted.", "many": "{n} runs are deleted."},
    "undo": "Undo",
    "restored": {"one": "The run is back.", "many": "{n} runs are back."},
    "imported": {"one": "The run is imported.", "many": "{n} runs are imported."},
    "cleared": "Everything is deleted.",
    "today": "Today",
    "yesterday": "Yesterday",
    "any_date": "Any date",
    "since": "From {since}",
    "until": "Until {until}",
    "between": "{since} to {until}",
    "group": {"compare": "Comparison of {n}", "batch": "From a batch"},
    "group_part": "Comparison: {shown} of {n} match",
    "open_group": "Open the comparison",
    "skills": SKILLS,
    "remove_tag": "Remove the tag {tag}",
    "storage": "{runs}, {bytes} in {folder}",
    "storage_limit": "The newest {limit} are kept; pinned and shared ones always.",
    "storage_none": "The history is off: runs are forgotten when Dreamscope ends.",
    "clear_said": "{runs} and their images leave this machine for good, with all links that were shared. "
    "There is no undo.",
    "states": {
        "queued": "Waiting.",
        "running": "Still running.",
        "stopped": "Stopped. What had been written is kept.",
        "failed": "Failed.",
        "interrupted": "Cut off: the engine or Dreamscope ended in the middle. What it wrote is kept.",
    },
    "picture": "Image of this run with its marks",
    "unreachable": "The history cannot be read: {reason}",
}


def history_html() -> str:
    """The whole view, one `<main data-view="history">`."""
    return fill(
        "history.html",
        {
            "words": words_attribute(_WORDS),
            "empty": text(EMPTY),
            "nothing": text(NOTHING),
            "peek": text(PEEK),
        },
    )
