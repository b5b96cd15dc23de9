"""A run or several side by side as one HTML document: shared pages, and files that open from disk.

    page = render([Shown(record, "Answer", "data:image/png;base64,...")], Dress(css, script))
    page.html, page.policy

Without scripts it is a still of the finished run. `script` makes it play: it finds `main[data-still]`, in it
one `article.column` per run with the slots of `static/stream.js`, and the run's timeline as JSON at the
address in the article's `data-timeline`, or in the `script.timeline` that has the same place in its row.

Every word of a person or a model goes through `escape`; nothing that is not in `Dress` is ever run, which the
policy says to the browser as well. What people wrote about a run for themselves, notes and tags, is left out.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamscope.visualizers import facts, words
from dreamscope.visualizers.controls import controls
from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.page_column import Shown, article, parts_of
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.sides import column_names
from dreamscope.visualizers.timeline import Timeline, timeline

__all__ = ["MOST_COLUMNS", "Dress", "Page", "Preview", "Shown", "notice", "play_json", "render", "width_of"]

BRAND = "Dreamscope"
MOST_COLUMNS = 4
_WIDTHS = (720.0, 560.0, 400.0, 340.0)
_WORDS = json.dumps({"parts": words.PARTS_DONE})
"""Sentences that our scripts fill."""
_FAVICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E"
    "%3Ccircle cx='10' cy='10' r='8' fill='%230c0d10' stroke='%236d78ff' stroke-width='2'/%3E"
    "%3Ccircle cx='12.4' cy='8' r='2.4' fill='%23ffffff'/%3E%3C/svg%3E"
)
_LOGO = (
    '<svg class="icon" viewBox="0 0 20 20" width="22" height="22" fill="none" stroke="currentColor"'
    ' stroke-width="1.5" aria-hidden="true"><circle cx="10" cy="10" r="7.25"/>'
    '<path d="M4.2 13.6c3.4-.3 6.2 1 7.6 3.5"/>'
    '<circle cx="12.4" cy="8" r="2.1" fill="currentColor" stroke="none"/></svg>'
)


_BRAND = f'<span class="brand">{_LOGO}{BRAND}</span>'


@dataclass(frozen=True, slots=True)
class Dress:
    """Our own style sheet and script, the only ones the page has. Raises `ValueError` if one would end its
    own element.
    """

    css: str
    script: str

    def __post_init__(self) -> None:
        if "</style" in self.css or "</script" in self.script:
            raise ValueError("A style sheet or script must not end its own element.")


@dataclass(frozen=True, slots=True)
class Preview:
    """What a link to the page looks like elsewhere; absolute addresses, the image 1200 by 630 pixels."""

    url: str
    image: str


@dataclass(frozen=True, slots=True)
class Page:
    """A document, and the Content-Security-Policy under which it works and nothing else does."""

    html: str
    policy: str


def width_of(columns: int) -> float:
    """How many CSS pixels wide each image is taken to be, for the placing of labels."""
    return _WIDTHS[columns - 1]


def render(
    shown: Sequence[Shown], dress: Dress, *, title: str = "", opens: str = "", preview: Preview | None = None
) -> Page:
    """The page of 1 to 4 runs. Raises `ValueError` for another number.

    `title` is for its head and first heading, by default the run's own or what was asked; `opens` the address
    where the run can be gone on with, empty for none.
    """
    if not 1 <= len(shown) <= MOST_COLUMNS:
        raise ValueError(f"A page shows 1 to {MOST_COLUMNS} runs, not {len(shown)}.")
    played = [timeline(one.record, width_of(len(shown))) for one in shown]
    name = title or shown[0].record.title or facts.question(shown[0].record)
    called = column_names([one.record for one in shown]) if len(shown) > 1 else [""]
    articles = "".join(
        article(one, its, width_of(len(shown)), name, column)
        for one, its, column in zip(shown, played, called, strict=True)
    )
    embedded = "".join(_embedded(one, its) for one, its in zip(shown, played, strict=True))
    policy = _policy(dress, any(one.timeline for one in shown))
    link = f'<a class="shared-open" href="{escape(opens)}">Open in {BRAND}</a>' if opens else ""
    body = (
        f'<body><header class="shared-bar">{_BRAND}{link}</header>'
        f'<main class="ds" data-still data-columns="{len(shown)}" data-words="{escape(_WORDS)}">'
        f"<h1>{escape(name)}</h1>"
        f'<div class="shared-columns">{articles}</div>{controls()}</main>{embedded}'
        f"<script>{dress.script}</script></body>"
    )
    return Page(
        _document(f"{name} · {BRAND}", policy, dress, _open_graph(name, shown, preview), body), policy
    )


def notice(text: str, dress: Dress) -> Page:
    """A page that shows no run and says `text` instead, in the same look."""
    policy = _policy(dress, served=False)
    body = (
        f'<body><header class="shared-bar">{_BRAND}</header>'
        f'<main class="ds shared-notice"><h1>{escape(text)}</h1></main></body>'
    )
    return Page(_document(BRAND, policy, dress, "", body), policy)


def _document(title: str, policy: str, dress: Dress, tags: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title>{tags}"
        f'<link rel="icon" href="{_FAVICON}"><style>{dress.css}</style></head>{body}</html>\n'
    )


def play_json(record: Record, heading: str, played: Timeline) -> dict[str, Any]:
    """The timeline with what a stream must know when it begins; see `static/replay.js`."""
    return {
        **played.to_json(),
        "title": heading,
        "reasoning": any(part.create.reasoning is True for part in record.parts),
        "parts": parts_of(record),
        "state": record.state,
    }


def _embedded(one: Shown, played: Timeline) -> str:
    """JSON that ends no element and holds no line separator, whatever is in its strings."""
    if one.timeline:
        return ""
    written = json.dumps(play_json(one.record, one.heading, played), separators=(",", ":"), allow_nan=False)
    inert = written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" class="timeline">{inert}</script>'


def _open_graph(name: str, shown: Sequence[Shown], preview: Preview | None) -> str:
    if preview is None:
        return ""
    said = facts.description([one.record for one in shown])
    tags = (
        ("og:type", "article"),
        ("og:site_name", BRAND),
        ("og:title", name),
        ("og:description", said),
        ("og:url", preview.url),
        ("og:image", preview.image),
        ("og:image:width", "1200"),
        ("og:image:height", "630"),
        ("og:image:alt", facts.picture_name(shown[0].record)),
    )
    properties = "".join(f'<meta property="{name}" content="{escape(value)}">' for name, value in tags)
    return (
        f'<meta name="description" content="{escape(said)}">{properties}'
        '<meta name="twitter:card" content="summary_large_image">'
    )


def _policy(dress: Dress, served: bool) -> str:
    """Our script and our style by their hashes; the colours of marks are attributes, which only style."""
    images, connections = ("'self' data:", "'self'") if served else ("data:", "'none'")
    return (
        f"default-src 'none'; script-src '{_hash(dress.script)}'; style-src '{_hash(dress.css)}'; "
        f"style-src-attr 'unsafe-inline'; img-src {images}; connect-src {connections}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
