"""Which prompts the cache remembers: a radix tree of elements per namespace, with the pages they fill.

    (adapter, image)  root
                       |  [BOS, Image]                            pages 0..729
                       |-- [1, 15381, 2, 890, 3]                  one question, and its answer below
                       `-- [1, 32708, 2, 6382, 3] -- [764, ...]

A node is a run of elements; an image is one element that covers many pages, so a run splits before or behind
it and never inside. A lock keeps a node and everything above it. When pages are wanted, the leaf that was
not used for longest goes first, and a parent whose last child went becomes a leaf.

A split puts a new node *above*: whoever holds a node keeps the end of the prefix that it locked.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator, Sequence
from itertools import count

from dreamscope.engine.devices.runner import Element, positions_of

Namespace = Hashable
"""Requests share pages only within one: the identity of the adapter, and of the image after BOS."""


class Node:
    """A run of elements and their pages. Only the tree changes it."""

    __slots__ = ("children", "elements", "locks", "pages", "parent", "used")

    def __init__(self, elements: tuple[Element, ...], pages: list[int], parent: Node | None) -> None:
        self.elements = elements
        self.pages = pages
        self.parent = parent
        self.children: dict[Element, Node] = {}
        self.locks = 0
        self.used = 0

    def prefix(self) -> Iterator[Node]:
        """This node and those above it, up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent


class PrefixTree:
    """Owns the pages in it until `evict` returns them. Engine thread only."""

    def __init__(self) -> None:
        self._roots: dict[Namespace, Node] = {}
        self._leaves: list[tuple[int, int, Node]] = []  # heap of (used, tie, node); stale entries are skipped
        self._ticks = count(1)
        self.pages = 0
        """Pages that the tree owns."""
        self.reclaimable = 0
        """Those of them that `evict` could return: a lock locks everything above it, so all unlocked ones."""
        self.changes = 0
        """Grows whenever an answer of `lookup` may have changed."""
        self.evictions = 0

    # --------------------------------------------------------------------------------------------- reading

    def lookup(self, namespace: Namespace, elements: Sequence[Element]) -> tuple[int, int]:
        """How many leading elements are there, and how many of their pages are reclaimable. No change."""
        found = reclaimable = 0
        for node, common in self._walk(namespace, elements):
            found += common
            if not node.locks:
                reclaimable += positions_of(node.elements[:common])
        return found, reclaimable

    def match(
        self, namespace: Namespace, elements: Sequence[Element], at_most: int
    ) -> tuple[Node, list[int], int] | None:
        """The node that ends the longest known prefix of `elements[:at_most]`, its pages and its elements.

        The path counts as used now; the caller locks the node before anything else happens.
        """
        path = list(self._walk(namespace, elements[:at_most]))
        if not path:
            return None
        last, common = path[-1]
        if common < len(last.elements):
            path[-1] = (self._split(last, common), common)
        pages = []
        for node, _ in path:
            self._touch(node)
            pages += node.pages
        return path[-1][0], pages, sum(common for _, common in path)

    def namespaces(self) -> Iterator[Namespace]:
        """Those that hold something."""
        return iter(self._roots)

    def nodes(self) -> Iterator[tuple[Namespace, Node]]:
        """Every node but the roots."""
        for namespace, root in self._roots.items():
            pending = list(root.children.values())
            while pending:
                node = pending.pop()
                yield namespace, node
                pending += node.children.values()

    def _walk(self, namespace: Namespace, elements: Sequence[Element]) -> Iterator[tuple[Node, int]]:
        """The nodes along `elements`, each with the number of its elements that match (at least one)."""
        node = self._roots.get(namespace)
        start = 0
        while node is not None and start < len(elements):
            node = node.children.get(elements[start])
            if node is None:
                return
            run = node.elements
            common, limit = 1, min(len(run), len(elements) - start)
            while common < limit and run[common] == elements[start + common]:
                common += 1
            yield node, common
            if common < len(run):
                return
            start += common

    # --------------------------------------------------------------------------------------------- changing

    def extend(
        self, namespace: Namespace, node: Node | None, elements: Sequence[Element], pages: list[int]
    ) -> Node | None:
        """Own `pages` for `elements` behind `node` (`None`: from the start). Returns the new node.

        `None` if something with the same first element is there already: somebody else was faster, and the
        caller keeps its pages. Raises `ValueError` if the pages do not fit the elements.
        """
        if not elements or positions_of(elements) != len(pages):
            raise ValueError(f"{len(pages)} pages do not fit {positions_of(elements)} positions.")
        parent = node or self._roots.setdefault(namespace, Node((), [], None))
        if elements[0] in parent.children:
            return None
        child = Node(tuple(elements), pages, parent)
        parent.children[elements[0]] = child
        self.pages += len(pages)
        self.reclaimable += len(pages)
        self.changes += 1
        self._touch(child)
        return child

    def lock(self, node: Node) -> None:
        """Keep the node and everything above it."""
        for one in node.prefix():
            one.locks += 1
            if one.locks == 1:
                self.reclaimable -= len(one.pages)
                self.changes += 1

    def unlock(self, node: Node) -> None:
        """Take back a `lock`. Raises `ValueError` if there is none."""
        for one in node.prefix():
            if one.locks == 0:
                raise ValueError("The node is not locked.")
            one.locks -= 1
            if one.locks == 0:
                self.reclaimable += len(one.pages)
                self.changes += 1
                self._offer(one)

    def evict(self, wanted: int) -> list[int]:
        """Forget the least recently used leaves until `wanted` pages are free, or none can go."""
        freed: list[int] = []
        while len(freed) < wanted and self._leaves:
            used, _, node = heapq.heappop(self._leaves)
            if used == node.used and self._is_free_leaf(node):
                freed += node.pages
                self._remove(node)
        return freed

    # ---------------------------------------------------------------------------------------------- within

    def _split(self, node: Node, at: int) -> Node:
        """Put the first `at` elements of the node into a new one above it, with the same locks."""
        parent = node.parent
        assert parent is not None
        pages = positions_of(node.elements[:at])
        upper = Node(node.elements[:at], node.pages[:pages], parent)
        upper.locks, upper.used = node.locks, node.used
        node.elements, node.pages, node.parent = node.elements[at:], node.pages[pages:], upper
        parent.children[upper.elements[0]] = upper
        upper.children[node.elements[0]] = node
        return upper

    def _touch(self, node: Node) -> None:
        node.used = next(self._ticks)
        self._offer(node)

    def _offer(self, node: Node) -> None:
        """Remember a leaf that may be evicted; forget stale memories when they are most of it."""
        if self._is_free_leaf(node):
            heapq.heappush(self._leaves, (node.used, next(self._ticks), node))
        if len(self._leaves) > 64 + 4 * self.pages:
            leaves = {id(leaf): leaf for _, _, leaf in self._leaves if self._is_free_leaf(leaf)}
            self._leaves = [(leaf.used, next(self._ticks), leaf) for leaf in leaves.values()]
            heapq.heapify(self._leaves)

    def _is_free_leaf(self, node: Node) -> bool:
        return not node.locks and not node.children and node.parent is not None

    def _remove(self, node: Node) -> None:
        parent = node.parent
        assert parent is not None
        del parent.children[node.elements[0]]
        node.parent = None
        self.pages -= len(node.pages)
        self.reclaimable -= len(node.pages)
        self.changes += 1
        self.evictions += 1
        self._offer(parent)
        if not parent.children and parent.parent is None and not parent.locks:
            self._roots = {name: root for name, root in self._roots.items() if root is not parent}
