"""Rules to the masks that a device keeps of them: one integer per row and step crosses over.

Most rules are few and come back all the time; each gets a permanent mask the first time it is used. A rule
that is made for one decision (a grammar's), or that finds the table full, goes into the scratch mask of its
place in the slot, which is free again when the slot is.
"""

from __future__ import annotations

from dreamscope.engine.devices.runner import FREE, ModelRunner, Rule

_FREE_RULE = Rule()


class MaskTable:
    """The masks of one runner."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._limits = runner.limits
        self._permanent: dict[Rule, int] = {_FREE_RULE: FREE}

    def index(self, rule: Rule, slot: int, place: int) -> int:
        """The mask of a rule for row number `place` of the step in `slot`."""
        found = self._permanent.get(rule) if rule.mask is None else None
        if found is not None:
            return found
        if rule.mask is None and len(self._permanent) <= self._limits.masks:
            index = len(self._permanent)
            self._runner.set_mask(index, rule)
            self._permanent[rule] = index
        else:
            index = self._limits.masks + 1 + slot * self._limits.rows + place
            self._runner.set_mask(index, rule)
        return index
