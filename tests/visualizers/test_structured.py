"""Answers in JSON and CSV: a table or a tree of what was written, and always the text itself."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.structured import MOST_NODES, MOST_ROWS, render


def shown(text: str, form: str = "json_object") -> ElementTree.Element:
    return ElementTree.fromstring(render(text, escape(text), form))


def part(root: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return next((node for node in root.iter() if name in node.get("class", "").split()), None)


def rows(root: ElementTree.Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def words(node: ElementTree.Element | None) -> str:
    assert node is not None
    return "".join(node.itertext())


def test_list_of_flat_objects_is_a_table() -> None:
    root = shown('[{"name": "dog", "n": 2}, {"name": "cat", "tame": true}]')
    assert rows(root) == [["name", "n", "tame"], ["dog", "2", ""], ["cat", "", "true"]]
    assert words(part(root, "structured-note")) == "2 items"


def test_object_of_single_values_is_a_table_of_fields() -> None:
    root = shown('{"a": 1.50, "b": null, "c": "x"}')
    assert rows(root) == [["a", "1.50"], ["b", "null"], ["c", "x"]]
    assert {node.get("scope") for node in root.iter("th")} == {"row"}


def test_other_shapes_are_a_tree_with_tables_in_it() -> None:
    root = shown('{"tags": ["a", "b"], "boxes": [{"x": 1}, {"x": 2}], "none": []}')
    keys = [node.text for node in root.iter("span") if node.get("class") == "structured-key"]
    assert keys == ["tags", "1", "2", "boxes", "none"]
    assert rows(root) == [["x"], ["1"], ["2"]]
    assert all(node.get("open") for node in root.iter("details"))


def test_numbers_are_shown_as_written() -> None:
    assert rows(shown('{"a": 1e400, "b": 0.10, "c": ' + "9" * 5000 + "}")) == [
        ["a", "1e400"],
        ["b", "0.10"],
        ["c", "9" * 5000],
    ]


@pytest.mark.parametrize("text", ['{"a": 1', "", "Sure! {}", "[NaN]", "[" * 100_000])
def test_what_is_not_json_stays_text_below_a_sentence(text: str) -> None:
    root = shown(text)
    raw = part(root, "raw")
    assert words(raw) == text
    assert raw is not None
    assert "hidden" not in raw.attrib
    assert words(part(root, "structured-note")).startswith("This is not complete, valid JSON")
    assert part(root, "raw-toggle") is None
    assert part(root, "structured-view") is None


def test_the_text_is_one_click_away() -> None:
    root = shown('{"a": "<b>"}')
    raw, button = part(root, "raw"), part(root, "raw-toggle")
    assert raw is not None
    assert button is not None
    assert (words(raw), raw.get("hidden")) == ('{"a": "<b>"}', "hidden")
    assert (button.tag, button.get("type"), button.get("aria-pressed")) == ("button", "button", "false")


def test_csv_is_a_table() -> None:
    root = shown('name,n\n"a, b",1\n\nc,2,3\n', "csv")
    assert rows(root) == [["name", "n", ""], ["a, b", "1", ""], ["c", "2", "3"]]
    assert words(part(root, "structured-note")) == "2 rows"


@pytest.mark.parametrize("text", ["", "\n\n", 'a,"b\nc', 'a,"b"c'])
def test_what_is_not_csv_stays_text(text: str) -> None:
    root = shown(text, "csv")
    assert part(root, "structured-view") is None
    assert "valid CSV" in words(part(root, "structured-note"))


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ([{"a": n} for n in range(100_000)], "json"),
        ([[n] for n in range(100_000)], "json"),
        ({str(n): n for n in range(100_000)}, "json"),
        ([{str(n): 1 for n in range(100_000)}], "json"),
        ([[[n, m] for m in range(100)] for n in range(1000)], "json"),
        ([[[{"a": 1, "b": [1]}] * 40] * 40] * 40, "json"),
    ],
)
def test_what_is_large_is_cut_and_said(value: object, form: str) -> None:
    root = shown(json.dumps(value), form)
    assert sum(1 for _ in root.iter()) < 20 * (MOST_NODES + MOST_ROWS)
    assert "in the raw text." in words(part(root, "structured-more"))


def test_what_is_deep_is_cut_and_said() -> None:
    root = shown("[" * 200 + "1" + "]" * 200)
    assert words(part(root, "structured-more")) == "What lies deeper is in the raw text."
    assert len(list(root.iter("details"))) < 40


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(values)
@settings(deadline=None)
def test_any_json_is_well_formed_and_keeps_its_text(value: object) -> None:
    text = json.dumps(value)
    assert words(part(shown(text), "raw")) == text
