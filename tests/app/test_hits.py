"""Words that were searched for, marked where they stand."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamscope.app.store.search import terms_of
from dreamscope.app.ui.hits import marked


@pytest.mark.parametrize(
    ("searched", "value", "found"),
    [
        ("dog", "Two Dogs, a bulldog and a dog.", ["Dogs", "dog"]),
        ('"two dogs" cat', "Two dogs and two cats", ["Two dogs", "cats"]),
        ("a.b (", "a+b or a b", ["a+b", "a b"]),
        ("", "dog", []),
        ("<b>", "a <b>bold</b> claim", ["b", "bold", "b"]),
    ],
)
def test_words_that_begin_alike_are_marked(searched, value, found):
    told = marked(value, terms_of(searched))
    assert [html.unescape(hit) for hit in re.findall("<mark>(.*?)</mark>", told)] == found
    assert html.unescape(re.sub("</?mark>", "", told)) == value


@given(st.text(max_size=30), st.text("ab <\"'&*(.", max_size=12))
def test_a_text_is_never_changed(value, searched):
    told = marked(value, terms_of(searched))
    assert not re.search(r"<(?!/?mark>)", told)
    assert marked(value, ()) == told.replace("<mark>", "").replace("</mark>", "")
