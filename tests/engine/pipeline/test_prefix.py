"""The radix tree: what it finds, keeps, splits and forgets; and against a plain dictionary (P6)."""

from __future__ import annotations

import random

import pytest

from dreamscope.engine.devices.runner import ImageKey, positions_of
from dreamscope.engine.runtime.prefix import Node, PrefixTree

CAT = ImageKey("00000000000a", 5)


def put(tree: PrefixTree, elements, pages=None, namespace="n") -> Node | None:
    """Publish elements the way a lease does: behind what is known of them."""
    pages = list(range(100, 100 + positions_of(elements))) if pages is None else pages
    hit = tree.match(namespace, elements, len(elements))
    node, shared, known = hit or (None, [], 0)
    if known == len(elements):
        return None
    return tree.extend(namespace, node, elements[known:], pages[len(shared) :])


def found(tree: PrefixTree, elements, namespace="n") -> int:
    return tree.lookup(namespace, elements)[0]


def check(tree: PrefixTree) -> None:
    """Links, alignment and both counters."""
    pages = reclaimable = 0
    for _, node in tree.nodes():
        assert node.parent is not None
        assert node.parent.children[node.elements[0]] is node
        assert len(node.pages) == positions_of(node.elements) > 0
        assert node.parent.locks >= max((c.locks for c in node.parent.children.values()), default=0)
        pages += len(node.pages)
        reclaimable += len(node.pages) * (node.locks == 0)
    assert (tree.pages, tree.reclaimable) == (pages, reclaimable)


@pytest.fixture
def tree() -> PrefixTree:
    return PrefixTree()


def test_an_empty_tree_knows_nothing_and_stays_empty(tree):
    assert found(tree, (1, 2)) == 0
    assert tree.match("n", (1, 2), 2) is None
    assert list(tree.nodes()) == []
    assert tree._roots == {}


def test_full_partial_and_no_match(tree):
    put(tree, (1, 2, 3))
    assert found(tree, (1, 2, 3)) == 3
    assert found(tree, (1, 2, 3, 4)) == 3
    assert found(tree, (1, 2, 9)) == 2
    assert found(tree, (9, 2, 3)) == 0
    check(tree)


def test_a_match_returns_the_pages_of_the_whole_path(tree):
    put(tree, (1, 2), [11, 12])
    put(tree, (1, 2, 3, 4), [11, 12, 13, 14])
    node, pages, elements = tree.match("n", (1, 2, 3, 9), 4)
    assert (pages, elements) == ([11, 12, 13], 3)
    assert node.elements == (3,)
    check(tree)


def test_a_match_goes_no_further_than_it_may(tree):
    put(tree, (1, 2, 3), [11, 12, 13])
    _, pages, elements = tree.match("n", (1, 2, 3), 2)
    assert (pages, elements) == ([11, 12], 2)
    check(tree)


def test_a_split_keeps_pages_locks_and_the_end_with_its_holder(tree):
    node = put(tree, (1, 2, 3), [11, 12, 13])
    tree.lock(node)
    upper, _, _ = tree.match("n", (1, 2, 9), 3)
    assert (upper.elements, upper.pages, upper.locks) == ((1, 2), [11, 12], 1)
    assert (node.elements, node.pages, node.locks) == ((3,), [13], 1)
    check(tree)
    tree.unlock(node)
    assert upper.locks == 0
    check(tree)


def test_an_image_is_one_element_with_many_pages(tree):
    put(tree, (0, CAT, 8))
    assert tree.pages == 7
    _, pages, elements = tree.match("n", (0, CAT, 9), 3)
    assert (len(pages), elements) == (6, 2)
    assert found(tree, (0, ImageKey(CAT.digest, 4))) == 1
    check(tree)


def test_the_same_twice_is_refused(tree):
    put(tree, (1, 2, 3))
    assert put(tree, (1, 2, 3)) is None
    assert tree.extend("n", None, (1, 2, 3), [1, 2, 3]) is None
    assert tree.extend("n", None, (1, 9), [1, 2]) is None
    check(tree)


def test_extending_and_branching(tree):
    first = put(tree, (1, 2))
    tree.extend("n", first, (3,), [13])
    tree.extend("n", first, (4, 5), [14, 15])
    assert found(tree, (1, 2, 3)) == 3
    assert found(tree, (1, 2, 4, 5)) == 4
    check(tree)


@pytest.mark.parametrize("pages", [[], [1], [1, 2, 3]])
def test_pages_that_do_not_fit_are_refused(tree, pages):
    with pytest.raises(ValueError, match="do not fit"):
        tree.extend("n", None, (1, 2), pages)
    assert tree._roots == {}


def test_locks_go_up_the_path_and_underflow_raises(tree):
    first = put(tree, (1, 2))
    last = put(tree, (1, 2, 3))
    other = put(tree, (1, 2, 4))
    tree.lock(last)
    tree.lock(last)
    tree.lock(other)
    assert (first.locks, last.locks, other.locks) == (3, 2, 1)
    check(tree)
    for node in (last, other, last):
        tree.unlock(node)
    check(tree)
    with pytest.raises(ValueError, match="not locked"):
        tree.unlock(last)


def test_eviction_takes_the_least_recently_used_leaf(tree):
    for first in (1, 2, 3):
        put(tree, (first, 9), [10 * first, 10 * first + 1])
    tree.match("n", (1, 9), 2)
    assert tree.evict(1) == [20, 21]
    assert tree.evict(2) == [30, 31]
    assert found(tree, (1, 9)) == 2
    check(tree)


def test_eviction_cascades_to_parents_and_removes_the_root(tree):
    put(tree, (1, 2), [11, 12])
    put(tree, (1, 2, 3), [11, 12, 13])
    assert tree.reclaimable == 3
    assert tree.evict(2) == [13, 11, 12]
    assert tree._roots == {}
    check(tree)


def test_eviction_skips_what_is_locked_even_if_it_was_offered_before(tree):
    node = put(tree, (1, 2))
    put(tree, (3, 4))
    tree.lock(node)
    assert len(tree.evict(100)) == 2
    assert tree.evict(1) == []
    assert found(tree, (1, 2)) == 2
    tree.unlock(node)
    assert len(tree.evict(1)) == 2


def test_more_than_there_is_gives_what_there_is(tree):
    put(tree, (1, 2, 3))
    assert len(tree.evict(100)) == 3
    assert (tree.pages, tree.reclaimable, tree.evictions) == (0, 0, 1)


def test_an_ancestor_counts_as_used_when_it_becomes_a_leaf(tree):
    """Only its own use counts: it was matched before the other leaf was put."""
    put(tree, (1,), [1])
    put(tree, (1, 2), [1, 2])
    put(tree, (5,), [5])
    assert tree.evict(1) == [2]
    assert tree.evict(1) == [1]
    assert tree.evict(1) == [5]


def test_namespaces_do_not_meet(tree):
    put(tree, (1, 2), namespace=("model", "cat"))
    assert found(tree, (1, 2), ("model", "cat")) == 2
    assert found(tree, (1, 2), ("model", "dog")) == 0
    assert list(tree._roots) == [("model", "cat")]


def test_the_list_of_leaves_does_not_grow_with_use(tree):
    put(tree, (1, 2))
    for _ in range(2000):
        tree.match("n", (1, 2), 2)
    assert len(tree._leaves) < 100
    assert len(tree.evict(2)) == 2


@pytest.mark.parametrize("seed", range(30))
def test_p6_the_tree_is_a_dictionary_of_prefixes(seed):
    """Random publishing, matching, locking and evicting, beside `known`: (namespace, prefix) to its pages."""
    rng = random.Random(seed)
    tree = PrefixTree()
    known: dict[tuple, tuple[int, ...]] = {}
    locked: list[tuple[Node, tuple]] = []
    fresh = iter(range(1, 10**9))

    def drawn() -> tuple:
        words = tuple(rng.choice((7, 8)) for _ in range(rng.randint(1, 6)))
        return (0, CAT, *words) if rng.random() < 0.5 else (0, *words)

    def longest(space, elements) -> tuple:
        return max((p for s, p in known if s == space and elements[: len(p)] == p), key=len, default=())

    for _ in range(300):
        space, elements, action = rng.choice("ab"), drawn(), rng.random()
        best = longest(space, elements)
        assert tree.lookup(space, elements)[0] == len(best)
        if action < 0.5:
            hit = tree.match(space, elements, len(elements))
            node, shared, count = hit or (None, [], 0)
            assert tuple(shared) == known.get((space, best), ())
            assert count == len(best)
            rest = elements[count:]
            if rest:
                pages = [next(fresh) for _ in range(positions_of(rest))]
                assert tree.extend(space, node, rest, pages) is not None
                for end in range(count + 1, len(elements) + 1):
                    covered = positions_of(elements[:end])
                    known[space, elements[:end]] = tuple((shared + pages)[:covered])
        elif action < 0.65:
            hit = tree.match(space, elements, len(elements))
            if hit is not None:
                tree.lock(hit[0])
                locked.append((hit[0], (space, elements[: hit[2]])))
        elif action < 0.8 and locked:
            tree.unlock(locked.pop(rng.randrange(len(locked)))[0])
        elif action < 0.9:
            before, reclaimable = tree.pages, tree.reclaimable
            wanted = rng.randint(1, 12)
            gone = set(tree.evict(wanted))
            assert len(gone) >= min(wanted, reclaimable)
            assert tree.pages == before - len(gone)
            for key in [key for key, pages in known.items() if gone & set(pages)]:
                assert all(key[0] != s or p[: len(key[1])] != key[1] for _, (s, p) in locked)
                del known[key]
        check(tree)
    for node, _ in locked:
        tree.unlock(node)
    assert tree.reclaimable == tree.pages
    assert len(tree.evict(10**9)) == len({page for pages in known.values() for page in pages})
