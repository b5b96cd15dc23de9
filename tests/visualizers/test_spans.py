"""Reasoning text to safe HTML: offsets in code points, bad spans tamed, text kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine.wire import Ground
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.prose import Prose
from dreamscope.visualizers.spans import open_span
from dreamscope.visualizers.spans import render as render_prose

HERE = ((0.5, 0.5),)


def render(text: str, grounding: Sequence[Ground]) -> str:
    return render_prose(Prose(text), grounding)


def grounds(html: str) -> dict[str, str]:
    """`data-ground` to the words inside, without the number."""
    root = ElementTree.fromstring(f"<r>{html}</r>")
    return {span.get("data-ground", ""): span.text or "" for span in root.iter("span")}


def plain(html: str) -> str:
    return unescape(re.sub("<[^>]*>", "", re.sub("<sup.*?</sup>", "", html)))


def test_span_hugs_its_words() -> None:
    html = render("I see a dog here", [Ground(5, 12, HERE)])
    assert grounds(html) == {"g0": "a dog"}
    assert plain(html) == "I see a dog here"
    assert html.startswith("I see <span ")
    assert '<sup class="ground-number" aria-hidden="true">1</sup></span> here' in html


def test_span_is_a_focusable_named_control() -> None:
    (span,) = ElementTree.fromstring(f"<r>{render('a dog', [Ground(0, 5, HERE * 2)])}</r>")
    assert span.attrib["role"] == "button"
    assert span.attrib["tabindex"] == "0"
    assert span.attrib["aria-label"] == "a dog, mark 1, 2 places on the image"


def test_offsets_count_code_points() -> None:
    text = "👩\u200d🌾 feeds 🐕 now"
    start = text.index("🐕")
    assert grounds(render(text, [Ground(start, start + 1, HERE)])) == {"g0": "🐕"}


def test_a_span_without_words_keeps_its_number() -> None:
    html = render("ab", [Ground(1, 1, HERE)])
    assert grounds(html) == {"g0": ""}
    assert plain(html) == "ab"


def test_overlapping_and_impossible_spans_are_cut() -> None:
    html = render(
        "abcdef", [Ground(1, 4, HERE), Ground(2, 5, HERE), Ground(9, 3, HERE), Ground(-4, 99, HERE)]
    )
    assert grounds(html) == {"g0": "bcd", "g1": "e", "g2": "", "g3": ""}
    assert plain(html) == "abcdef"


indices = st.integers(-3, 30)


@given(st.text(max_size=25), st.lists(st.builds(Ground, indices, indices, st.just(HERE)), max_size=5))
def test_no_text_is_lost_or_doubled_and_every_ground_appears(text: str, spans: list[Ground]) -> None:
    html = render(text, spans)
    assert plain(html) == clean(text)
    wanted = [f"g{n}" for n in range(len(spans))]
    assert re.findall('data-ground="(g[0-9]+)"', html) == wanted


def test_open_span_has_the_same_id() -> None:
    assert 'data-ground="g2"' in open_span(2)
    assert 'class="ground open"' in open_span(2)


def test_words_that_end_in_their_number_are_not_numbered_again():
    text = "I find dog 1, dog 7"
    html = render(text, (Ground(6, 12, ((0.1, 0.1),)), Ground(13, 19, ((0.2, 0.2),))))
    assert "dog 1</span>, " in html
    assert 'dog 7<sup class="ground-number" aria-hidden="true">2</sup></span>' in html
