"""Ends connections whose owners may no longer ask, idle ones too."""

from __future__ import annotations

from collections.abc import Callable

from dreamscope.engine import errors
from dreamscope.engine.server.clock import Clock, Timer
from dreamscope.engine.server.keyring import MISSING, Keyring

LOOK_SECONDS = 2.0
End = Callable[[errors.InvalidApiKey], None]


class KeyWatch:
    """Looks at the keys every `LOOK_SECONDS`, once for all connections, and not at all while there is none
    whose owner could lose the right to ask. Only the event loop touches it.
    """

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock
        self._ends: dict[End, str] = {}
        self._timer: Timer | None = None

    def add(self, owner: str, end: End) -> None:
        """From now on `end` is called if `owner` may no longer ask, until `discard`."""
        if self._keyring.may_end(owner):
            self._ends[end] = owner
            if self._timer is None:
                self._timer = self._clock.call_later(LOOK_SECONDS, self._look)

    def discard(self, end: End) -> None:
        """Do not call `end` any more; harmless if it was not to be called."""
        self._ends.pop(end, None)
        if not self._ends and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.call_later(LOOK_SECONDS, self._look)
        try:
            ended = self._keyring.ended(set(self._ends.values()))
        except errors.InternalError:  # it was logged; nobody is let in meanwhile, and nobody put out
            return
        for end, owner in tuple(self._ends.items()):
            if owner in ended:
                self.discard(end)
                end(errors.InvalidApiKey(MISSING))
