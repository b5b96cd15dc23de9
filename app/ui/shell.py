"""The page below Gradio's wrappers: the bar, the views, the dialogs that belong to all of them.

Structure is in `shell.html` and in the templates of the views; every sentence is in `app/words.py` or here.
"""

from __future__ import annotations

from dreamscope.app import words
from dreamscope.app.ui import said
from dreamscope.app.ui.compare import compare_html
from dreamscope.app.ui.examples import Example
from dreamscope.app.ui.history import history_html
from dreamscope.app.ui.markup import text
from dreamscope.app.ui.pipeline import pipeline_html
from dreamscope.app.ui.playground import playground_html, playground_words
from dreamscope.app.ui.template import fill, words_attribute

_SHORTCUTS = (
    (
        "Playground",
        (
            ("/", "Go to the prompt"),
            ("Ctrl Enter", "Run"),
            ("Esc", "Let go of a mark, or stop the run"),
            ("e", "Edit the question of this run"),
            ("r", "Replay"),
            (", .", "One event back, one on"),
            ("c", "Compare"),
            ("s", "Share"),
        ),
    ),
    (
        "Image",
        (
            ("1 … 9", "Pick a mark"),
            ("h", "Hide or show the marks"),
            ("w", "Slide between original and marks"),
            ("f", "Fullscreen"),
            ("p", "Take or leave the hand that moves the image"),
            ("Arrows Delete", "Move or remove the reference in focus"),
            ("+ − 0", "Zoom in, out, fit"),
        ),
    ),
    (
        "Compare",
        (
            ("d", "Only the differences"),
            ("w", "Mark the words that differ"),
        ),
    ),
    (
        "History",
        (
            ("j k", "Next and previous run, also with the arrows"),
            ("Enter", "Open the run"),
            ("x", "Select it; c compares, Delete deletes"),
            ("p", "Pin it"),
            ("/", "Search"),
        ),
    ),
    (
        "Inspector",
        (
            ("p", "Hold the picture, or go on"),
            ("1 2 a", "One step in flight, two, or automatic"),
            ("+ −", "Fewer steps, more steps"),
            ("← →", "The step before, the one after"),
        ),
    ),
    (
        "Everywhere",
        (
            ("g", "Next of playground, compare, history, inspector"),
            ("?", "This list"),
        ),
    ),
)
_EXPIRIES = (
    ("", "until it is revoked"),
    ("86400", "for one day"),
    ("604800", "for one week"),
    ("2592000", "for 30 days"),
)


def shell_html(examples: tuple[Example, ...], retention: bool = True) -> str:
    """The whole page, one `div.ds`; `retention`: whether it has to say that runs are kept."""
    kept, *privacy = said.PRIVACY
    privacy = [kept if retention else said.NOT_RETAINED, *privacy]
    sentences = {
        **playground_words(),
        "offline": words.PAGE_OFFLINE,
        "offline_short": words.PAGE_OFFLINE_SHORT,
        "close": "Close",
        "copy": "Copy",
        "labels": said.LABELS_OF_MARKS,
        "privacy": said.PRIVACY_SAID | ({} if retention else {"kept_nowhere": said.KEPT_BRIEFLY}),
        "share": said.SHARE_SAID,
        "download": said.DOWNLOAD_SAID,
    }
    return fill(
        "shell.html",
        {
            "words": words_attribute(sentences),
            "engine": text(words.ENGINE_STARTING),
            "playground": playground_html(examples),
            "compare": compare_html(examples),
            "history": history_html(),
            "pipeline": pipeline_html(),
            "shortcuts": "".join(_group(*group) for group in _SHORTCUTS),
            "privacy": "".join(f"<p>{text(paragraph)}</p>" for paragraph in privacy),
            "sure": text(said.PRIVACY_SURE),
            "sharing": text(said.SHARING),
            "expiries": "".join(_expiry(*row) for row in _EXPIRIES),
        },
    )


def _expiry(value: str, label: str) -> str:
    return f'<option value="{value}">{text(label)}</option>'


def _group(title: str, rows: tuple[tuple[str, str], ...]) -> str:
    return f"<section><h3>{text(title)}</h3><dl>{''.join(_shortcut(*row) for row in rows)}</dl></section>"


def _shortcut(keys: str, what: str) -> str:
    caps = " ".join(f"<kbd>{text(key)}</kbd>" for key in keys.split())
    return f"<div><dt>{caps}</dt><dd>{text(what)}</dd></div>"
