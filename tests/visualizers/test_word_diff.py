"""Words in common and words of one side, quietly and within bounds."""

from __future__ import annotations

import itertools
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from dreamscope.engine import wire
from dreamscope.visualizers import word_diff
from dreamscope.visualizers.word_diff import common_words, diff, diff_html

few_words = st.lists(st.sampled_from("abcd"), max_size=9)


def longest(first: list[str], second: list[str]) -> int:
    """Length of a longest common subsequence, by the table."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@given(few_words, few_words)
def test_as_many_words_as_possible_are_kept(first, second):
    pairs = common_words(first, second)
    assert len(pairs) == longest(first, second)
    assert all(first[i] == second[j] for i, j in pairs)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(pairs))


@given(st.text("ab, .\n", max_size=40), st.text("ab, .\n", max_size=40))
def test_both_texts_can_be_read_out_of_the_difference(first, second):
    found = diff(first, second)
    before = "".join(s.text for s in found.stretches if s.kind != "added")
    after = "".join(s.text for s in found.stretches if s.kind != "removed")
    assert re.findall(r"\S", before) == re.findall(r"\S", first)
    assert after == second.rstrip()
    assert found.same == (re.findall(r"\w+(?:\.\w+)*|\S", first) == re.findall(r"\w+(?:\.\w+)*|\S", second))


def test_words_not_letters():
    html = diff_html(diff("There are three dogs.", "There are there dogs."))
    assert html == '<p class="diff">There are <del>three</del> <ins>there</ins> dogs.</p>'


def test_signs_stay_with_their_words():
    html = diff_html(diff("A dog, a cat.", "The dog; a cat"))
    assert html == (
        '<p class="diff"><del>A</del> <ins>The</ins> dog<del>,</del><ins>;</ins> a cat<del>.</del></p>'
    )
    assert diff_html(diff("Two dogs", "dogs")) == '<p class="diff"><del>Two</del> dogs</p>'


def test_the_same_words_in_other_spacing_are_the_same():
    assert diff("two  dogs\n", "two dogs").same
    assert 'class="diff same"' in diff_html(diff("two  dogs\n", "two dogs"))
    assert diff("", "").shared == 1


def test_shares_are_of_all_words():
    assert diff("one two three four", "one two").shared == 2 * 2 / 6
    assert diff("one", "two").shared == 0


def test_markup_stays_text():
    html = diff_html(diff("<b>bold</b> `x`", "<script>${1}</script> `x`"))
    assert not re.search(r"<(?!/?(ins|del|p)\b)", html)
    assert "`" not in html
    assert "$" not in html


def test_long_texts_are_bounded(monkeypatch):
    first, second = ("word" + str(n % 97) for n in range(6000)), ("word" + str(n % 89) for n in range(6000))
    start = time.process_time()
    found = diff(" ".join(first), " ".join(second))
    assert 0 < found.shared < 1
    assert time.process_time() - start < 5
    monkeypatch.setattr(word_diff, "LIMIT", 10)
    found = diff("a b c d", "a b c e")
    assert found.too_long
    assert [stretch.kind for stretch in found.stretches] == ["removed", "added"]
    assert "too long" in diff_html(found)
    assert not diff("a b c d", "a b c d").too_long


def test_grounded_words_keep_their_underline():
    text = "A cat sits there, two dogs run."
    grounds = (wire.Ground(1, 6, ((0.1, 0.2),)), wire.Ground(17, 26, ((0.3, 0.4), (0.5, 0.6))))
    html = diff_html(diff("A dog sits there, three dogs run.", text), grounds)
    spans = re.findall(r'<span class="ground" data-ground="(g\d)"[^>]*>(.*?)</span>', html)
    assert spans == [
        ("g0", '<ins>cat</ins><sup class="ground-number" aria-hidden="true">1</sup>'),
        ("g1", '<ins>two</ins> dogs<sup class="ground-number" aria-hidden="true">2</sup>'),
    ]
    plain = re.sub("<del>.*?</del>|<sup.*?</sup>|<[^>]*>", "", html)
    assert " ".join(plain.split()) == text


def test_spans_without_words_and_beyond_the_text_do_no_harm():
    grounds = (wire.Ground(3, 3, ()), wire.Ground(2, 6, ()), wire.Ground(4, 99, ()))
    html = diff_html(diff("x", "one two"), grounds)
    assert re.findall(r'data-ground="(g\d)"', html) == ["g1", "g2"]
    assert html.count("<span") == html.count("</span>")
