"""Who may ask, and how often: the keys of the settings, and those made with `dreamscope keys`.

`anyone` is who needs no key because there are none. Once this process has seen a key it goes on asking for
one, even if the last is revoked or the file is gone.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Set
from contextlib import contextmanager

from dreamscope.engine import errors
from dreamscope.engine.server.auth import owner_of
from dreamscope.engine.server.bucket import TokenBucket
from dreamscope.engine.server.clock import Clock
from dreamscope.engine.server.keystore import KeysError, KeyStore
from dreamscope.engine.server.options import ServerOptions

ANYONE = "anyone"
PARENT = "parent"
NAMED = "named:"
MISSING = "The API key is missing, wrong or revoked."
_log = logging.getLogger(__name__)


class Keyring:
    """Owners are names: `anyone`, `parent` (the process that started this one), `key-0` and so on for keys of
    the settings, `named:NAME` for the others. Only those of the last kind have limits.
    """

    def __init__(self, options: ServerOptions, clock: Clock) -> None:
        self.store = None if options.keys_folder is None else KeyStore(options.keys_folder)
        self._fixed = options.api_keys
        self._parent = options.parent_key
        self._clock = clock
        self._locked = bool(options.api_keys)
        self._buckets: dict[str, TokenBucket] = {}

    @property
    def locked(self) -> bool:
        """Whether a key is needed."""
        self._locked = self._locked or (self.store is not None and self.store.exists())
        return self._locked

    def owner(self, *keys: str | None) -> str | None:
        """Who asks with the first of these keys that is valid; `None` for nobody who may.

        Raises `InternalError` if the keys cannot be read.
        """
        for key in keys:
            owner = self._owner(key) if key else None
            if owner is not None:
                return owner
        return None if self.locked else ANYONE

    def check(self, owner: str) -> None:
        """Raises `InvalidApiKey` if `owner` may no longer ask, or `InternalError` as `owner` does."""
        self._limit(owner)

    def may_end(self, owner: str) -> bool:
        """Whether this owner, who may ask now, could lose that right while the server runs."""
        return self.store is not None and (owner == ANYONE or owner.startswith(NAMED))

    def ended(self, owners: Set[str]) -> frozenset[str]:
        """Those of `owners` who may no longer ask, with one look at the keys. Raises `InternalError`."""
        named = {owner for owner in owners if owner.startswith(NAMED)}
        valid: frozenset[str] = frozenset()
        if named and self.store is not None:
            with readable():
                valid = frozenset(NAMED + name for name in self.store.names())
        anyone = {ANYONE} & owners if self.locked else set()
        return frozenset(named - valid) | anyone

    def admit(self, owner: str) -> None:
        """Let one request pass. Raises `RateLimited`, or as `check`."""
        rate = self._limit(owner)
        if rate is None:
            return
        bucket = self._buckets.get(owner)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[owner] = TokenBucket(rate, self._clock.now())
        wait = bucket.take(self._clock.now())
        if wait > 0:
            raise errors.RateLimited(
                f"This key may make {rate:g} requests per second; the next one in {wait:.3f} seconds.",
                retry_after=math.ceil(wait),
            )

    def _owner(self, key: str) -> str | None:
        if self._parent is not None and owner_of(key, (self._parent,)):
            return PARENT
        fixed = owner_of(key, self._fixed) if self._fixed else None
        if fixed is not None or self.store is None:
            return fixed
        with readable():
            found = self.store.find(key)
        return None if found is None else NAMED + found.name

    def _limit(self, owner: str) -> float | None:
        """Requests per second of an owner who may still ask, if there is a limit."""
        if owner == ANYONE and self.locked:
            raise errors.InvalidApiKey(MISSING)
        if not owner.startswith(NAMED):
            return None
        assert self.store is not None
        with readable():
            key = self.store.named(owner.removeprefix(NAMED))
        if key is None:
            raise errors.InvalidApiKey(MISSING)
        return key.per_second


@contextmanager
def readable() -> Iterator[None]:
    """What reads the keys in here raises `InternalError` if they cannot be read; the log has the reason."""
    try:
        yield
    except KeysError as error:
        _log.error("%s", error)
        raise errors.InternalError("The API keys cannot be read; the server's log says why.") from None
