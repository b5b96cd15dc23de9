"""All checks of a run, in the order they are shown.

from dreamscope.visualizers.audit.checks import audit
for check in audit(record, detected):      # `detected`: finished detect runs on the same image
    print(check.verdict, check.text)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dreamscope.engine import wire
from dreamscope.visualizers.audit import (
    captions,
    contradiction,
    counting,
    duplicates,
    empty_spans,
    ending,
    flat,
    limits,
    listing,
    outline,
    outside,
    phrases,
    presence,
    repeats,
    told,
    wide,
)
from dreamscope.visualizers.audit.case import Case, Found
from dreamscope.visualizers.audit.check import Check
from dreamscope.visualizers.audit.nouns import noun_of, words_of
from dreamscope.visualizers.record import Record

CHECKS: tuple[Callable[[Case], Iterable[Check]], ...] = (
    ending.check,
    counting.check,
    contradiction.check,
    told.check,
    phrases.check,
    listing.check,
    presence.check,
    empty_spans.check,
    outside.check,
    captions.check,
    repeats.check,
    duplicates.check,
    wide.check,
    limits.check,
    flat.check,
    outline.check,
)
IDS = (
    ending.ID,
    counting.ID,
    contradiction.ID,
    told.ID,
    phrases.ID,
    listing.ID,
    presence.ID,
    empty_spans.ID,
    outside.ID,
    captions.ID,
    repeats.ID,
    duplicates.ID,
    wide.ID,
    limits.IN_IMAGE,
    limits.SPANS,
    flat.ID,
    outline.ID,
)


def audit(record: Record, detected: Iterable[Record] = ()) -> tuple[Check, ...]:
    """Every check that applies to `record`; one that has nothing to compare is left out."""
    found = found_by_noun(record, detected)
    out = []
    for index, part in enumerate(record.parts):
        case = Case(part, index, record.picture, found)
        for check in CHECKS:
            out += [replace(one, part=index) for one in check(case)]
    return tuple(out)


def nouns_to_detect(record: Record) -> tuple[str, ...]:
    """The nouns that detect can settle something about, those of spans and of a caption; singular."""
    cases = (Case(part, index, record.picture) for index, part in enumerate(record.parts))
    found = (noun for case in cases for nouns in (outside.nouns, captions.nouns) for noun in nouns(case))
    return tuple(dict.fromkeys(found))


def found_by_noun(record: Record, detected: Iterable[Record]) -> dict[str, Found]:
    """What finished detect runs on the image of `record`, by its model and adapter, found of its nouns; the
    first of a noun counts.
    """
    wanted = nouns_to_detect(record)
    out: dict[str, Found] = {}
    for run in detected:
        if run.picture is None or record.picture is None or run.picture.hash != record.picture.hash:
            continue
        if (run.model, run.variant) != (record.model, record.variant):
            continue
        for part in run.parts:
            result = part.result
            if isinstance(result, wire.DetectResult) and part.state == "done":
                noun = _bare_noun(part.create.object or "")
                if noun in wanted:
                    out.setdefault(noun, Found(run.id, result.objects))
    return out


def worst(checks: Sequence[Check]) -> str:
    """The verdict that most needs attention."""
    verdicts = {check.verdict for check in checks}
    return next((one for one in ("look", "unknown") if one in verdicts), "fine")


def _bare_noun(prompt: str) -> str:
    """The noun of a prompt that asks for all of a kind; "red car" finds but some of the cars."""
    return noun_of(prompt) if len(words_of(prompt)) == 1 else ""
