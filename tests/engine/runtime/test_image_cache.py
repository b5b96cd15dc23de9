from __future__ import annotations

from types import SimpleNamespace

from dreamscope.engine.runtime.image_cache import EncodedImage, ImageCache


def encoded(nbytes: int) -> EncodedImage:
    return EncodedImage(SimpleNamespace(), nbytes)


def test_the_least_recently_used_goes_first() -> None:
    cache = ImageCache(100)
    for digest in "abc":
        cache.put(digest, encoded(30))
    assert cache.get("a") is not None
    cache.put("d", encoded(40))
    assert [digest for digest in "abcd" if digest in cache] == ["a", "c", "d"]
    assert (len(cache), cache.nbytes) == (3, 100)


def test_what_exceeds_the_bound_is_not_kept_and_displaces_nothing() -> None:
    cache = ImageCache(100)
    cache.put("a", encoded(90))
    cache.put("b", encoded(101))
    assert "a" in cache
    assert cache.get("b") is None


def test_an_image_counts_once() -> None:
    cache = ImageCache(100)
    kept = encoded(60)
    cache.put("a", kept)
    cache.put("a", encoded(60))
    assert (cache.nbytes, cache.get("a")) == (60, kept)
