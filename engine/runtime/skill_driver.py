"""A skill as the scheduler drives it: a decision is an id, and the number read beside it.

A skill decides an id, feeds nothing if the id announces a number, and decides the number from the same
position. A device does both at once, because it may not wait for the host in between; here that becomes two
tokens again. What a skill feeds is nearly always what was decided last, and that lies on the device already;
where it wants anything else, the request goes on from a new prompt, all of which but the end is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dreamscope.engine.devices.runner import Element, Rule
from dreamscope.engine.models.config import TokenizerConfig
from dreamscope.engine.models.tokens import Coord, Size, Text
from dreamscope.engine.runtime.sequence import FinishReason, Picked, Verdict
from dreamscope.engine.runtime.spread import coord_spread, size_spread
from dreamscope.engine.skills.base import Outcome, Restart, Skill, Step

Elements = tuple[Element, ...]


class SkillDriver:
    """Implements `Driver`. `steps` and `sizes` are the bins of a coordinate and of a width or height."""

    def __init__(
        self,
        skill: Skill,
        ids: TokenizerConfig,
        prompt: Elements,
        begin_again: Callable[[Restart], Elements],
        steps: int,
        sizes: int,
        spreads: bool,
    ) -> None:
        """`begin_again` gives the whole prompt of a restart; `spreads`: whether odds go to the skill."""
        self._skill = skill
        self._begin_again = begin_again
        self._steps = steps
        self._sizes = sizes
        self._spreads = spreads
        self._fed = list(prompt)
        self._number_rules = {
            kind: Rule(allowed=frozenset({marker}), numbers=frozenset({marker}))
            for kind, marker in (("coord", ids.coord_id), ("size", ids.size_id))
        }
        self._step: Step | None = None

    def rule(self) -> Rule:
        """What the step allows; a number by itself is announced by its own id, and by no other."""
        step = self._step = self._skill.step()
        if step.kind != "text":
            return self._number_rules[step.kind]
        mask = None if step.mask is None else step.mask.tobytes()
        return Rule(step.allowed, step.suppressed, step.numbers, step.folded, mask)

    def consume(self, picked: Picked) -> Verdict:
        """Hand the decision to the skill, as one token or two."""
        step = self._step or self._skill.step()
        self._step = None
        if step.kind != "text":
            return self._take(step.kind, picked, ())
        odds = picked.odds if self._spreads else None
        outcome = self._skill.consume(Text(picked.id, None if odds is None else odds.p))
        if self._skill.finish_reason is None and not outcome.feed and outcome.restart is None:
            return self._take(self._skill.step().kind, picked, outcome.events)
        return self._verdict(picked.id, outcome, ())

    def close(self, reason: FinishReason) -> tuple[Any, ...]:
        """What the skill held back."""
        return self._skill.close("length")

    def _take(self, kind: str, picked: Picked, events: tuple[Any, ...]) -> Verdict:
        number = self._coord(picked) if kind == "coord" else self._size(picked)
        return self._verdict(number, self._skill.consume(number), events)

    def _verdict(self, element: Element, outcome: Outcome, events: tuple[Any, ...]) -> Verdict:
        events += outcome.events
        if self._skill.finish_reason is not None:
            return Verdict(element, events, finish=self._skill.finish_reason)
        restart: Elements | None = None
        if outcome.restart is not None:
            restart = self._begin_again(outcome.restart)
        elif outcome.feed != (element,):
            restart = (*self._fed, *outcome.feed)
        if restart is None:
            self._fed.append(element)
        else:
            self._fed = list(restart)
        return Verdict(element, events, restart=restart)

    def _coord(self, picked: Picked) -> Coord:
        coord = Coord.from_bin(picked.coord, self._steps)
        if picked.odds is None or picked.odds.coord is None or not self._spreads:
            return coord
        return replace(coord, spread=coord_spread(picked.odds.coord, picked.coord, self._steps))

    def _size(self, picked: Picked) -> Size:
        width, height = picked.size
        size = Size.from_bins(width, height, self._sizes)
        if picked.odds is None or picked.odds.size is None or not self._spreads:
            return size
        axes = picked.odds.size
        return replace(size, spreads=(size_spread(axes[0], width), size_spread(axes[1], height)))
