"""A page in miniature: the six slots as XML trees, changed by fragments the way the browser does it."""

from __future__ import annotations

from collections.abc import Iterable
from xml.dom import minidom

import pytest

from dreamscope.visualizers.fragment import SLOTS, Fragment


class Page:
    """Applies fragments; `html` gives a slot without the marks of animation, for comparing."""

    def __init__(self) -> None:
        self._document = minidom.parseString("<page/>")
        self._slots = {slot: self._document.createElement(slot) for slot in SLOTS}
        self._at = dict(self._slots)

    def apply(self, fragments: Iterable[Fragment]) -> Page:
        for fragment in fragments:
            getattr(self, f"_{fragment.op}")(fragment, self._slots[fragment.slot])
        return self

    def html(self, slot: str) -> str:
        node = self._slots[slot].cloneNode(True)
        node.normalize()
        for element in node.getElementsByTagName("g"):
            kept = [name for name in element.getAttribute("class").split() if name != "enter"]
            element.setAttribute("class", " ".join(kept))
        return str(node.toxml())

    def all(self) -> dict[str, str]:
        return {slot: self.html(slot) for slot in SLOTS}

    def text(self, slot: str) -> str:
        return _text(self._slots[slot])

    def _nodes(self, html: str) -> list[minidom.Node]:
        root = minidom.parseString(f"<r>{html}</r>".encode()).documentElement
        return [self._document.importNode(child, True) for child in root.childNodes]

    def _append(self, fragment: Fragment, slot: minidom.Element) -> None:
        for node in self._nodes(fragment.html):
            self._at[fragment.slot].appendChild(node)

    def _open(self, fragment: Fragment, slot: minidom.Element) -> None:
        (node,) = self._nodes(fragment.html)
        self._at[fragment.slot].appendChild(node)
        self._at[fragment.slot] = node

    def _close(self, fragment: Fragment, slot: minidom.Element) -> None:
        opened = self._at[fragment.slot]
        assert opened is not slot, "close without open"
        for node in self._nodes(fragment.html):
            slot.insertBefore(node, opened)
        slot.removeChild(opened)
        self._at[fragment.slot] = slot

    def _put(self, fragment: Fragment, slot: minidom.Element) -> None:
        (node,) = self._nodes(fragment.html)
        assert node.getAttribute("data-key") == fragment.key
        same = [child for child in slot.childNodes if child.getAttribute("data-key") == fragment.key]
        if same:
            slot.replaceChild(node, same[0])
        else:
            slot.appendChild(node)

    def _replace(self, fragment: Fragment, slot: minidom.Element) -> None:
        for child in list(slot.childNodes):
            slot.removeChild(child)
        self._at[fragment.slot] = slot
        self._append(fragment, slot)


def _text(node: minidom.Node) -> str:
    if node.nodeType == node.TEXT_NODE:
        return str(node.data)
    return "".join(_text(child) for child in node.childNodes)


@pytest.fixture(scope="session")
def new_page() -> type[Page]:
    return Page
