"""How often one may ask: a bucket of tokens that fills at a steady rate."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """Lets `rate` requests pass in a second on average, and as many at once after a pause (at least one).

    Times in seconds of a monotonic clock; `now` is when it begins, full.
    """

    rate: float
    now: float
    _tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = self._most

    def take(self, now: float) -> float:
        """0 if a request may pass now, which takes a token; otherwise how long until one may."""
        self._tokens = min(self._most, self._tokens + (now - self.now) * self.rate)
        self.now = now
        if self._tokens >= 1.0 - 1e-9:  # a client that waits exactly as long as it was told may pass
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self.rate

    @property
    def _most(self) -> float:
        return max(1.0, self.rate)
