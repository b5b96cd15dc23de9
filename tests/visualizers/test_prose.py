"""Text with the probabilities of its tokens: the same text, one span a token, nothing made up."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.prose import Prose


def tokens(html: str) -> list[tuple[str, str]]:
    root = ElementTree.fromstring(f"<r>{html}</r>")
    return [(node.text or "", node.get("style", "")) for node in root.iter("span")]


def text(html: str) -> str:
    return "".join(ElementTree.fromstring(f"<r>{html}</r>").itertext())


def test_one_span_a_token_without_the_space_before_it() -> None:
    html = Prose("a <dog>", ((1, 0.5), (6, 0.25))).html()
    assert tokens(html) == [("a", "--p:0.500"), ("<dog>", "--p:0.250")]
    assert text(html) == "a <dog>"
    assert 'title="Probability 0.25"' in html


def test_white_space_alone_is_no_span() -> None:
    assert Prose("a \n b", ((1, 0.5), (3, 0.5), (1, 0.5))).html().count("tok") == 2


def test_a_token_without_characters_counts_for_those_after_it() -> None:
    assert tokens(Prose("é!", ((0, 0.5), (1, 0.5), (1, 1.0))).html()) == [
        ("é", "--p:0.250"),
        ("!", "--p:1.000"),
    ]


def test_a_part_shows_its_parts_of_tokens() -> None:
    prose = Prose("one two", ((3, 0.1), (4, 0.2)))
    assert tokens(prose.html(2, 5)) == [("e", "--p:0.100"), ("t", "--p:0.200")]
    assert prose.html(3, 4) == " "


def test_what_is_no_probability_or_too_much_is_not_shown() -> None:
    for probs in (None, ((5, 0.5),), ((2, float("nan")),), ((3, 0.5), (-1, 0.5)), ((2, 7.0),)):
        prose = Prose("ab", probs)
        assert (prose.html(), prose.probs) == ("ab", None)


def test_a_token_may_come_later_than_its_first_characters() -> None:
    prose = Prose("one ", ((3, 0.5),))
    assert prose.html().endswith("</span> ")
    prose.add("two ", ((4, 0.25),))
    assert tokens(prose.html(4)) == [("two", "--p:0.250")]
    assert prose.probs == ((3, 0.5), (4, 0.25))


def test_what_went_wrong_once_stays_unknown() -> None:
    prose = Prose("ab", ((2, 0.5),))
    prose.add("c", ((2, 0.5),))
    prose.add("d", ((1, 0.5),))
    assert (prose.html(), prose.probs) == ("abcd", None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=4), st.floats(0, 1)), max_size=8), st.integers(0, 20))
def test_the_text_is_the_same_wherever_it_is_cut(pieces: list[tuple[str, float]], cut: int) -> None:
    prose = Prose()
    shown = ""
    for piece, chance in pieces:
        start = len(prose.text)
        prose.add(piece, ((len(piece), chance),))
        shown += prose.html(start)
    assert shown == prose.html()
    cut = min(cut, len(prose.text))
    whole = clean(prose.text).replace("\r\n", "\n").replace("\r", "\n")
    assert text(prose.html()) == text(prose.html(0, cut) + prose.html(cut)) == whole or "\r" in prose.text
