"""Reservations: what a lease takes, publishes and returns."""

from __future__ import annotations

import pytest

from dreamscope.engine.devices.runner import ImageKey, Limits, Rule
from dreamscope.engine.devices.sim import SimRunner
from dreamscope.engine.devices.toy_model import HistoryMachine
from dreamscope.engine.runtime.adapter_slots import AdapterSlots
from dreamscope.engine.runtime.masks import MaskTable
from dreamscope.engine.runtime.pages import KVPages, PagePool, namespace_of

CAT = ImageKey("00000000000a", 5)


@pytest.fixture
def pages() -> KVPages:
    return KVPages(31)


def reserve(pages: KVPages, prompt, total: int):
    return pages.reserve(namespace_of(None, prompt), prompt, total)


# ---------------------------------------------------------------------------------------------------- pool


def test_i20_page_0_is_never_handed_out():
    pool = PagePool(5)
    assert sorted(pool.take(4)) == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="1 pages are wanted and 0 are free"):
        pool.take(1)


def test_pages_that_were_returned_last_are_taken_first():
    pool = PagePool(9)
    taken = pool.take(5)
    pool.give(taken)
    assert pool.take(5) == taken
    assert pool.take(0) == []
    assert pool.free == 3


# --------------------------------------------------------------------------------------------------- leases


def test_a_lease_has_different_pages_for_all_its_positions(pages):
    lease = reserve(pages, (0, CAT, 8), 12)
    assert len(set(lease.pages)) == 12
    assert (pages.private, pages.available) == (12, 18)
    assert pages.balanced()


def test_nothing_is_kept_once_nobody_uses_it_where_that_is_asked_for():
    pages = KVPages(31, keeps=False)
    prompt = (0, CAT, 8)
    first, second = reserve(pages, prompt, 12), reserve(pages, prompt, 12)
    pages.publish(first, prompt)
    third = reserve(pages, prompt, 12)
    assert third.skip == 2, "who is served at the same time shares"
    for lease in (first, second):
        pages.release(lease)
    assert pages.images == 1, "it is in use"
    pages.release(third)
    assert (pages.images, pages.tree.pages, pages.pool.free) == (0, 0, 30)
    assert pages.at_rest()


def test_an_exact_fit_fits_and_one_more_does_not(pages):
    assert reserve(pages, (0, 8), 31) is None
    assert reserve(pages, (0, 8), 30) is not None
    assert pages.available == 0


def test_i24_after_the_release_everything_is_there_again(pages):
    lease = reserve(pages, (0, 8), 10)
    pages.release(lease)
    assert pages.at_rest()
    assert pages.pool.free == 30


def test_i10_a_second_release_raises(pages):
    lease = reserve(pages, (0, 8), 10)
    pages.release(lease)
    with pytest.raises(ValueError, match="released before"):
        pages.release(lease)


def test_i22_published_pages_stay_after_the_release(pages):
    prompt = (0, CAT, 8)
    lease = reserve(pages, prompt, 12)
    pages.publish(lease, prompt)
    assert (lease.owned, len(lease.private), pages.private) == (7, 5, 5)
    pages.release(lease)
    assert (pages.pool.free, pages.tree.pages) == (23, 7)
    assert pages.at_rest()


def test_a_hit_maps_what_is_there_and_computes_the_last_element(pages):
    prompt = (0, CAT, 8, 9)
    first = reserve(pages, prompt, 12)
    pages.publish(first, prompt)
    again = reserve(pages, prompt, 12)
    assert again.pages[:7] == first.pages[:7]
    assert (again.skip, again.owned) == (3, 7)
    assert again.pages[7] != first.pages[7]
    assert pages.balanced()


def test_i21_what_somebody_else_published_meanwhile_is_refused_and_stays_private(pages):
    prompt = (0, 8, 9)
    first, second = reserve(pages, prompt, 5), reserve(pages, prompt, 5)
    pages.publish(first, prompt)
    pages.publish(second, prompt)
    assert (second.owned, second.node) == (0, None)
    pages.publish(second, (*prompt, 7))
    assert second.owned == 0
    pages.release(second)
    pages.release(first)
    assert pages.at_rest()
    assert pages.tree.pages == 3


def test_a_duplicate_after_a_partial_hit_keeps_its_lock(pages):
    base = reserve(pages, (0, 8), 2)
    pages.publish(base, (0, 8))
    prompt = (0, 8, 9, 10)
    first, second = reserve(pages, prompt, 6), reserve(pages, prompt, 6)
    pages.publish(first, prompt)
    pages.publish(second, prompt)
    assert second.node is not None
    assert second.node.locks >= 2
    for lease in (base, first, second):
        pages.release(lease)
    assert pages.at_rest()


def test_generated_tokens_continue_the_prompt(pages):
    lease = reserve(pages, (0, 8), 8)
    pages.publish(lease, (0, 8))
    pages.publish(lease, (0, 8, 20, 21))
    pages.release(lease)
    assert reserve(pages, (0, 8, 20, 21, 9), 9).skip == 4


def test_i25_bos_alone_is_no_hit_for_a_prompt_with_an_image(pages):
    lease = reserve(pages, (0, CAT), 6)
    pages.publish(lease, (0, CAT))
    pages.release(lease)
    fit = pages.fit(namespace_of(None, (0, CAT)), (0, CAT), 6)
    assert (fit.skip, fit.block, fit.tokens) == (0, True, 6)
    again = reserve(pages, (0, CAT), 6)
    assert (again.skip, again.owned, again.node) == (0, 0, None)


def test_i26_a_fit_tells_whether_an_image_is_computed(pages):
    prompt = (0, CAT, 8)
    namespace = namespace_of(None, prompt)
    assert pages.fit(namespace, prompt, 10).block
    lease = reserve(pages, prompt, 10)
    pages.publish(lease, prompt)
    fit = pages.fit(namespace, prompt, 10)
    assert (fit.block, fit.skip, fit.tokens, fit.pages) == (False, 2, 1, 4)
    pages.release(lease)
    assert pages.fit(namespace, prompt, 10).pages == 4 + 6  # reusing them keeps them from eviction


def test_i29_namespaces_tell_adapters_and_images_apart():
    dog = ImageKey("00000000000b", 5)
    prompts = [(0, CAT, 8), (0, dog, 8), (0, 8)]
    spaces = {namespace_of(adapter, prompt) for adapter in (None, "a", "b") for prompt in prompts}
    assert len(spaces) == 9


def test_eviction_makes_room_on_demand(pages):
    for first in range(3):
        lease = reserve(pages, (first, 8, 9), 10)
        pages.publish(lease, tuple([first, 8, 9, *range(40, 47)]))
        pages.release(lease)
    assert (pages.pool.free, pages.available) == (0, 30)
    lease = reserve(pages, (7, 8), 12)
    assert len(lease.pages) == 12
    assert pages.tree.evictions == 2
    assert pages.balanced()


def test_nothing_that_is_used_is_evicted(pages):
    lease = reserve(pages, (0, 8, 9), 25)
    pages.publish(lease, (0, 8, 9))
    assert reserve(pages, (1, 8), 6) is None
    assert reserve(pages, (1, 8), 5) is not None


def test_a_hit_that_does_not_fit_leaves_no_lock(pages):
    lease = reserve(pages, (0, 8, 9), 20)
    pages.publish(lease, (0, 8, 9))
    assert reserve(pages, (0, 8, 10), 30) is None
    pages.release(lease)
    assert pages.at_rest()


# -------------------------------------------------------------------------------------------- adapter slots


def test_i30_a_slot_is_shared_and_free_again_at_zero():
    loads = []
    slots = AdapterSlots(2, lambda slot, adapter: loads.append((slot, adapter)))
    assert slots.acquire(None) == 0
    assert [slots.acquire("a", 5), slots.acquire("a", 5), slots.acquire("b", 6)] == [1, 1, 2]
    assert slots.acquire("c", 7) is None
    slots.release("a")
    assert slots.acquire("c", 7) is None
    slots.release("a")
    assert slots.acquire("c", 7) == 1
    assert loads == [(1, 5), (2, 6), (1, 7)]
    assert slots.used == 2


def test_a_slot_that_could_not_be_loaded_is_free():
    def fail(slot, adapter):
        raise OSError("broken file")

    slots = AdapterSlots(1, fail)
    with pytest.raises(OSError, match="broken"):
        slots.acquire("a")
    assert slots.used == 0
    slots._load = lambda slot, adapter: None
    assert slots.acquire("b") == 1


@pytest.mark.parametrize("key", ["a", "never"])
def test_releasing_once_too_often_raises(key):
    slots = AdapterSlots(1, lambda slot, adapter: None)
    slots.acquire("a")
    slots.release("a")
    slots.release(None)
    with pytest.raises(ValueError, match="Nobody uses"):
        slots.release(key)


# ---------------------------------------------------------------------------------------------------- masks


def test_a_rule_gets_its_mask_once_and_scratch_serves_the_rest():
    runner = SimRunner(Limits(2, 4, 16, 32, 20, masks=2), HistoryMachine())
    table = MaskTable(runner)
    rules = [Rule(allowed=frozenset({n})) for n in (5, 6, 7)]
    assert table.index(Rule(), 0, 0) == 0
    assert [table.index(rule, 0, 0) for rule in rules[:2]] == [1, 2]
    assert runner.calls == 2
    assert table.index(rules[0], 1, 1) == 1
    assert runner.calls == 2
    assert table.index(rules[2], 0, 1) == 2 + 1 + 1
    assert table.index(rules[2], 1, 1) == 2 + 1 + 4 + 1
    assert table.index(Rule(mask=b"\1" * 32), 1, 3) == 2 + 1 + 4 + 3
    assert runner.calls == 5
    assert runner.violations == []
