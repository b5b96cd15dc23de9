"""The pages of the key-value cache: who owns each of them, and how a request gets and returns its share.

A request reserves everything it may need before its first forward, so none can run out of pages halfway and
nobody is ever preempted. What it can reuse from the prefix tree it only maps.

I20  free + cached + private == n_pages - 1, always; page 0 and row 0 are never handed out.
I21  A page has one owner: the free stack, one node of the tree, or one lease (private).
I22  A release frees only private pages; what the tree owns stays.
I23  A page is not handed out again before the last step that may write it is committed: see `Seat.refs`.
I24  When nothing runs, nothing is private and nothing is locked.
I25  A hit in a prompt with an image covers BOS and the whole image, or it is none.
I29  Requests with another adapter or image never share a page: see `namespace_of`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from dreamscope.engine.devices.runner import Element, ImageKey, positions_of
from dreamscope.engine.runtime.prefix import Namespace, Node, PrefixTree


class PagePool:
    """The free pages, last returned first out. Page 0 pads batches and is in no pool."""

    def __init__(self, n_pages: int) -> None:
        self._free = list(range(n_pages - 1, 0, -1))
        self.size = n_pages - 1

    @property
    def free(self) -> int:
        """How many there are."""
        return len(self._free)

    def take(self, wanted: int) -> list[int]:
        """So many pages. Raises `ValueError` if there are fewer."""
        if wanted > len(self._free):
            raise ValueError(f"{wanted} pages are wanted and {len(self._free)} are free.")
        if wanted == 0:
            return []
        taken = self._free[: -wanted - 1 : -1]
        del self._free[-wanted:]
        return taken

    def give(self, pages: Sequence[int]) -> None:
        """Take pages back."""
        self._free.extend(reversed(pages))


@dataclass(slots=True, eq=False)
class Lease:
    """The pages of one row by position: `owned` at the front belong to the tree, the others are private."""

    namespace: Namespace
    pages: list[int]
    skip: int
    """Elements of the prompt whose keys and values were there already."""
    known: int
    """Elements up to and with `node`, which is locked."""
    owned: int
    node: Node | None
    publishes: bool = True
    """Whether what comes next can be given to the tree: nothing before it was refused."""
    released: bool = False

    @property
    def private(self) -> list[int]:
        """The pages that nobody else maps."""
        return self.pages[self.owned :]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a prompt would reuse and need now: counts of elements and of pages."""

    skip: int
    pages: int
    """Reserved anew, and taken out of eviction because they are reused."""
    tokens: int
    """Positions that a prefill computes."""
    block: bool
    """Whether an image is among them, which needs a forward that sees both ways (I26)."""


def namespace_of(adapter: Hashable, prompt: Sequence[Element]) -> tuple[Hashable, str | None]:
    """Positions before the first image see it only if it follows BOS; such prompts share with their like."""
    first = prompt[1] if len(prompt) > 1 else None
    return (adapter, first.digest if isinstance(first, ImageKey) else None)


@dataclass(slots=True, eq=False)
class KVPages:
    """Pool and tree together. All changes of ownership happen here."""

    n_pages: int
    keeps: bool = True
    """Whether what was published stays when nobody uses it any more."""
    tree: PrefixTree = field(default_factory=PrefixTree)
    private: int = 0
    hit_positions: int = 0
    prompt_positions: int = 0
    pool: PagePool = field(init=False)

    def __post_init__(self) -> None:
        self.pool = PagePool(self.n_pages)

    @property
    def available(self) -> int:
        """Pages that can be had now, if need be by eviction."""
        return self.pool.free + self.tree.reclaimable

    @property
    def images(self) -> int:
        """Images that prompts can begin with at no cost."""
        names = self.tree.namespaces()
        return sum(isinstance(name, tuple) and name[1] is not None for name in names)

    def fit(self, namespace: Namespace, prompt: Sequence[Element], total: int) -> Fit:
        """What reserving `total` positions for this prompt would take. Changes nothing."""
        found, reclaimable = self.tree.lookup(namespace, prompt[: _reusable(prompt)])
        if not _is_hit(prompt, found):
            found = reclaimable = 0
        known = positions_of(prompt[:found])
        rest = prompt[found:]
        block = any(isinstance(element, ImageKey) for element in rest)
        return Fit(found, total - known + reclaimable, positions_of(rest), block)

    def reserve(self, namespace: Namespace, prompt: Sequence[Element], total: int) -> Lease | None:
        """Pages for `total` positions, the reusable ones mapped and locked; `None` if they do not fit now."""
        hit = self.tree.match(namespace, prompt, _reusable(prompt))
        node, shared, skip = hit if hit is not None and _is_hit(prompt, hit[2]) else (None, [], 0)
        if node is not None:
            self.tree.lock(node)
        wanted = total - len(shared)
        if wanted > self.available:
            if node is not None:
                self.tree.unlock(node)
            return None
        if wanted > self.pool.free:
            self.pool.give(self.tree.evict(wanted - self.pool.free))
        self.private += wanted
        self.hit_positions += len(shared)
        self.prompt_positions += positions_of(prompt)
        pages = shared + self.pool.take(wanted)
        return Lease(namespace, pages, skip, skip, len(shared), node)

    def publish(self, lease: Lease, elements: Sequence[Element]) -> None:
        """Let others reuse `elements`, all from the start, whose keys and values are there by now.

        Refused if somebody else has published the same meanwhile; the lease then keeps its own pages.
        """
        new = elements[lease.known :]
        if not lease.publishes or not new:
            return
        end = lease.owned + positions_of(new)
        node = self.tree.extend(lease.namespace, lease.node, new, lease.pages[lease.owned : end])
        if node is None:
            lease.publishes = False
            return
        self.tree.lock(node)
        if lease.node is not None:
            self.tree.unlock(lease.node)
        self.private -= end - lease.owned
        lease.node, lease.known, lease.owned = node, len(elements), end

    def release(self, lease: Lease) -> None:
        """Return a lease, once (I10). Its published pages stay with the tree (I22)."""
        if lease.released:
            raise ValueError("The lease was released before.")
        lease.released = True
        private = lease.private
        self.pool.give(private)
        self.private -= len(private)
        if lease.node is not None:
            self.tree.unlock(lease.node)
        if not self.keeps:
            self.pool.give(self.tree.evict(self.tree.reclaimable))

    def balanced(self) -> bool:
        """Whether every page is accounted for (I20)."""
        return self.pool.free + self.tree.pages + self.private == self.pool.size

    def at_rest(self) -> bool:
        """Whether nobody holds anything (I24)."""
        return self.balanced() and self.private == 0 and self.tree.reclaimable == self.tree.pages


def _reusable(prompt: Sequence[Element]) -> int:
    """Elements that a hit may cover: the last one is always computed, it decides the first token."""
    return len(prompt) - 1


def _is_hit(prompt: Sequence[Element], found: int) -> bool:
    return found >= (2 if len(prompt) > 1 and isinstance(prompt[1], ImageKey) else 1)
