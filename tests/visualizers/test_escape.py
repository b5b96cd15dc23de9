"""Hostile text through every string that reaches the page or a file: it stays text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.visualizers.escape import clean, escape, inert
from dreamscope.visualizers.fragment import Fragment, Fragments
from dreamscope.visualizers.overlay import overlay

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload='alert(1)'>",
    "' autofocus onfocus=alert(1) x='",
    "${alert(1)}",
    "{{value}} `${alert(1)}`",
    "]]><b>",
    "<!-- --><!DOCTYPE x>",
    "&lt;script&gt; &amp;amp;",
    "nul\x00bell\x07del\x7f nonchar\ufffe lone\ud83d end",
    "javascript:alert(1)",
)
TAGS = {"span", "sup", "li", "button", "g", "circle", "ellipse", "rect", "path", "text", "title"}
STRUCTURE = {"div", "p", "pre", "table", "thead", "tbody", "tr", "th", "td", "ul", "details", "summary"}
R: dict[str, Any] = {"request_id": "r"}


class Audit(HTMLParser):
    """Notes every tag and attribute, and collects the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""
        self.odd: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    handle_decl = handle_comment
    unknown_decl = handle_comment


def assert_inert(fragment: Fragment) -> None:
    audit = Audit(fragment.html)
    assert audit.tags <= TAGS | STRUCTURE
    assert not [name for name in audit.names if name.startswith("on") or name in ("href", "src", "autofocus")]
    assert not audit.odd
    assert "${" not in fragment.html
    assert "`" not in fragment.html
    ElementTree.fromstring(f"<r>{fragment.html}</r>")


def hostile_events(text: str) -> dict[str, list[wire.Message]]:
    """Events that carry `text` in every string field that is shown, per skill."""
    error = wire.ErrorInfo(text, text, text, text)
    points = ((0.5, 0.5),)
    grounding = (wire.Ground(0, len(text), points),)
    result = wire.result_to_json(wire.QueryResult(text, wire.Reasoning(text + "!", grounding)))
    whole = wire.Box(0, 0, 1, 1)
    outline = wire.result_to_json(wire.SegmentResult("", whole, parse_error=text))
    answer = json.dumps([{text: text, "part": [text, {text: 1}]}])
    table = wire.result_to_json(wire.ChatResult(answer, probs=((len(answer), 0.5),)))
    return {
        "query": [
            wire.RequestAccepted(model=text, skill=text, tag=text, **R),
            wire.ReasoningDelta(delta=text, **R),
            wire.SpanOpen(index=0, start=len(text), **R),
            wire.ReasoningDelta(delta=text, **R),
            wire.SpanPoint(index=0, x=0.5, y=0.5, **R),
            wire.SpanClose(index=0, end=2 * len(text), points=points, **R),
            wire.ReasoningDone(text=text, grounding=grounding, **R),
            wire.TextDelta(delta=text, **R),
            wire.RequestDone(finish_reason=text, output=result, metrics=wire.Metrics(), **R),
        ],
        "caption": [
            wire.TextDelta(delta=text, **R),
            wire.RequestCancelled(reason=text, metrics=wire.Metrics(), **R),
        ],
        "point": [wire.PointEvent(index=0, x=0.5, y=0.5, **R), wire.RequestFailed(error=error, **R)],
        "detect": [wire.BoxEvent(index=0, x_min=0.2, y_min=0.2, x_max=0.8, y_max=0.8, **R)],
        "segment": [
            wire.MaskBox(bbox=whole, **R),
            wire.MaskDelta(delta=f"M 0 0 L 1 1{text}", **R),
            wire.MaskDone(path=text, coarse_path=text, bbox=whole, **R),
            wire.RequestDone(finish_reason=text, output=outline, metrics=wire.Metrics(), **R),
        ],
        "chat": [
            wire.TextDelta(delta=text, probs=((len(text), 0.5),), **R),
            wire.RequestDone(finish_reason="stop", output=table, metrics=wire.Metrics(), **R),
        ],
    }


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("skill", ["query", "caption", "point", "detect", "segment", "chat"])
def test_hostile_text_stays_text_on_the_page(skill: str, text: str) -> None:
    stream = Fragments((640, 480), skill, name=text, format="json_object")
    for event in hostile_events(text)[skill]:
        for fragment in [*stream.feed(event), *stream.everything(), *stream.note(text, text)]:
            assert_inert(fragment)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_reader_sees_exactly_what_was_said(text: str) -> None:
    stream = Fragments((640, 480), "query")
    shown = "".join(
        Audit(f.html).text for f in stream.feed(wire.TextDelta(delta=text, **R)) if f.slot == "answer"
    )
    assert shown == clean(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_in_svg_files(text: str) -> None:
    document = overlay(wire.DetectResult((wire.Box(0.2, 0.2, 0.8, 0.8),)), (2000, 2000), name=text)
    root = ElementTree.fromstring(document)
    assert {node.tag.split("}")[1] for node in root.iter()} <= TAGS | {"svg", "title", "desc", "defs"}
    assert clean(text) in (root.findtext("{http://www.w3.org/2000/svg}title") or "")


@given(st.text())
def test_escape_round_trips_in_text_and_attributes(text: str) -> None:
    kept = clean(text).replace("\r", "")
    text = text.replace("\r", "")
    html = f"<a b=\"{escape(text)}\" c='{escape(text)}'>{escape(text)}</a>"
    root = ElementTree.fromstring(html)
    assert (root.text or "") == kept
    # A parser reads white space in attributes as blanks.
    blanks = str.maketrans("\t\n", "  ")
    assert root.get("b") == root.get("c") == kept.translate(blanks)


def test_clean_keeps_what_is_legal() -> None:
    assert clean("tab\t line\n é 犬 👩\u200d🌾 \u0085") == "tab\t line\n é 犬 👩\u200d🌾 \u0085"
    assert clean("\x00\x1b\x9f\ufdd0\uffff\ud800") == ""


def test_inert_markup_means_the_same() -> None:
    assert ElementTree.fromstring(f"<a>{inert('`${x}`')}</a>").text == "`${x}`"
