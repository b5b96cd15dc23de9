"""What goes with the simulated device: a host whose work takes time, skills to decode with, the plain loop.

The skills are the shapes that the real ones have, over the few ids of the history machine. `sequential`
decodes one request by itself, without pages, batches or pipeline: what the engine has to say as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dreamscope.engine.devices.runner import Draws, Element, ImageKey, Rule
from dreamscope.engine.devices.sim import VirtualClock
from dreamscope.engine.devices.toy_model import COORD, END, SIZE, HistoryMachine, kept_code, prompt_codes
from dreamscope.engine.models.tokens import Coord, Size
from dreamscope.engine.runtime.sequence import FinishReason, Picked, Sequence, Step, Verdict
from dreamscope.engine.runtime.trace import Action
from dreamscope.engine.runtime.uniforms import uniforms

ANSWER = 3
NUMBERS = frozenset({COORD, SIZE})

Script = Iterator[Rule]
"""A generator of rules, to which the decided elements are sent; its end is the end of the request."""


class ScriptedSkill:
    """A driver that follows a script. `elements` is what was decided; each is an event as well."""

    def __init__(self, script: Callable[[list[Element]], Script], restarts: tuple[Any, ...] = ()) -> None:
        """`restarts`: prompts to go on with, each time the script ends."""
        self._make = script
        self._restarts = list(restarts)
        self._part: list[Element] = []
        self._script = script(self._part)
        self._rule: Rule | None = next(self._script)
        self.elements: list[Element] = []
        self.closed: FinishReason | None = None

    def rule(self) -> Rule:
        """The rule of the next decision."""
        assert self._rule is not None, "The script is over."
        return self._rule

    def consume(self, picked: Picked) -> Verdict:
        """Apply a decision."""
        assert self._rule is not None, "The script is over."
        element: Element = picked.id
        if picked.id in self._rule.numbers:
            element = Coord.from_bin(picked.coord) if picked.id == COORD else Size.from_bins(*picked.size)
        self.elements.append(element)
        self._part.append(element)
        self._rule = next(self._script, None)
        events = (element,)
        if self._rule is not None:
            return Verdict(element, events)
        if not self._restarts:
            return Verdict(element, events, finish="stop")
        prompt = self._restarts.pop(0)
        self._part = []
        self._script = self._make(self._part)
        self._rule = next(self._script)
        return Verdict(element, events, restart=prompt)

    def close(self, reason: FinishReason) -> tuple[Any, ...]:
        """Ended from outside."""
        self.closed = reason
        return ()


def text(said: list[Element]) -> Script:
    """Free text up to the end; another answer marker is not wanted after the first id."""
    yield Rule()
    while said[-1] != END:
        yield Rule(suppressed=frozenset({ANSWER}))


def points(said: list[Element]) -> Script:
    """Pairs of coordinates up to the end."""
    while True:
        yield Rule(allowed=frozenset({COORD, END}), numbers=NUMBERS)
        if said[-1] == END:
            return
        yield Rule(allowed=frozenset({COORD}), numbers=NUMBERS)


def boxes(said: list[Element]) -> Script:
    """A centre and a size, up to the end; any id but the end begins another."""
    while True:
        yield Rule(folded=COORD, numbers=NUMBERS)
        if said[-1] == END:
            return
        yield Rule(allowed=frozenset({COORD}), numbers=NUMBERS)
        yield Rule(allowed=frozenset({SIZE}), numbers=NUMBERS)


def outline(said: list[Element]) -> Script:
    """Numbers and text in any order; nothing is masked."""
    yield Rule(numbers=NUMBERS)
    while said[-1] != END:
        yield Rule(numbers=NUMBERS)


def reasoning(said: list[Element]) -> Script:
    """Text with coordinates, the answer marker, a forced opener, and text."""
    while not said or said[-1] != ANSWER:
        yield Rule(suppressed=frozenset({END, SIZE}), numbers=frozenset({COORD}))
    yield Rule(allowed=frozenset({ANSWER}))
    while said[-1] != END:
        yield Rule(suppressed=frozenset({ANSWER}))


def structured(said: list[Element]) -> Script:
    """A grammar whose mask is another one at every decision: ids in turn from either half, then the end."""
    halves = (range(8, 20), range(20, 32))
    for place in range(4 + hash(tuple(said)) % 3):
        wanted = np.zeros(32, bool)
        wanted[list(halves[place % 2])] = True
        yield Rule(mask=wanted.tobytes())
    yield Rule(allowed=frozenset({END}))


def look(said: list[Element]) -> Script:
    """One coordinate, once."""
    yield Rule(allowed=frozenset({COORD}), numbers=NUMBERS)


SCRIPTS: dict[str, Callable[[list[Element]], Script]] = {
    one.__name__: one for one in (text, points, boxes, outline, reasoning, structured, look)
}


@dataclass(slots=True)
class Reference:
    """What the plain loop decodes of a request."""

    elements: list[Element] = field(default_factory=list)
    finish: str = "length"


def sequential(sequence: Sequence, machine: HistoryMachine, max_seq: int) -> Reference:
    """Decode a request by itself; its driver is used up."""
    told = Reference()
    salt = 0 if sequence.adapter is None else int(sequence.adapter_weights)
    prompt: tuple[Element, ...] | None = sequence.prompt
    while prompt is not None:
        kept = prompt_codes(prompt, [one.digest for one in prompt if isinstance(one, ImageKey)], salt)
        budget = min(sequence.max_new, max_seq - len(kept))
        prompt = None
        for _ in range(budget):
            state = machine.state(kept[None], np.array([len(kept)]))
            numbers = uniforms([sequence.seed], [len(told.elements)])
            draws = Draws(np.array([sequence.temperature], np.float32), np.ones(1, np.float32), numbers)
            choice = machine.choose(state, [sequence.driver.rule()], draws)
            picked = Picked(int(choice.ids[0]), int(choice.coord[0]), tuple(choice.size[0].tolist()))
            verdict = sequence.driver.consume(picked)
            told.elements.append(verdict.element)
            kept = np.concatenate([kept, kept_code(choice.codes, salt)])
            if verdict.finish is not None:
                told.finish = verdict.finish
                return told
            if verdict.restart is not None:
                prompt = verdict.restart
                break
    return told


@dataclass(slots=True)
class SimulatedHost:
    """Lets the host's work take time, in milliseconds, and keeps a log of (what, step, when in seconds)."""

    clock: VirtualClock
    bl: float = 0.0
    bm: float = 0.0
    bc: float = 0.0
    action: Action | None = None
    """What the host is doing."""
    log: list[tuple[str, Step, float]] | None = None

    def begin(self, action: Action, step: Step) -> None:
        """Planning takes its time before the launch, and the mask before the sampling."""
        self.action = action
        self.clock.advance({"launch": self.bl, "mask": self.bm}.get(action, 0.0) / 1000)
        self._note("begin " + action, step)

    def end(self, action: Action, step: Step) -> None:
        """A commit takes its time after the tokens have come."""
        self.clock.advance((self.bc if action == "commit" else 0.0) / 1000)
        self._note("end " + action, step)
        self.action = None

    def _note(self, what: str, step: Step) -> None:
        if self.log is not None:
            self.log.append((what, step, self.clock.now()))
