"""Answers are checked against the scene by code that shares nothing with the generator but the word table."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamscope.engine.sprite.pairs import Extent, Item, Pair, Place, Span
from dreamscope.engine.sprite.questions import Questioner
from dreamscope.engine.sprite.scenes import Scene, SceneMaker, SceneObject, Stage
from dreamscope.engine.sprite.world import COLOURS, FIRST_LIGHT, KINDS

NUMBERS = {
    word: number
    for number, word in enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight"))
}
PLURALS = {kind.plural: kind.name for kind in KINDS}
SINGULARS = {kind.name: kind.name for kind in KINDS}
GROUPS = {kind.name: kind.group for kind in KINDS}
ASKED = re.compile(r"\b(" + "|".join(sorted({*PLURALS, *SINGULARS}, key=len, reverse=True)) + r")\b")
QUESTIONER = Questioner(FIRST_LIGHT)
seeds = st.integers(0, 2**32)


def _class(phrase: str) -> str:
    """The class of a singular or a plural."""
    return SINGULARS.get(phrase) or PLURALS[phrase]


def _asked(question: str) -> str:
    found = ASKED.findall(question)
    assert len(found) == 1, question
    return _class(found[0])


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _text(items: Sequence[Item]) -> str:
    return "".join(
        item if isinstance(item, str) else item.text for item in items if isinstance(item, (str, Span))
    )


def _spans(items: Sequence[Item]) -> list[tuple[str, float, float]]:
    return [(item.text, item.place.x, item.place.y) for item in items if isinstance(item, Span)]


def _numbered(found: Sequence[SceneObject]) -> str:
    if len(found) == 1:
        return f" {found[0].name}"
    return ",".join(f" {item.name} {number}" for number, item in enumerate(found, 1))


def _centres(found: Sequence[SceneObject]) -> list[tuple[float, float]]:
    return [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in (item.box for item in found)]


def _of(scene: Scene, name: str) -> list[SceneObject]:
    return [item for item in scene.objects if item.name == name]


def _grounds(pair: Pair, found: Sequence[SceneObject]) -> bool:
    """The spans are these objects, in this order."""
    return [(x, y) for _, x, y in _spans(pair.reasoning)] == _centres(found)


def _only(scene: Scene, name: str) -> SceneObject:
    (item,) = _of(scene, name)
    return item


def _cell(item: SceneObject) -> str:
    ((x, y),) = _centres([item])
    row = "top" if y < 0.36 else "bottom" if y >= 0.64 else ""
    column = "left" if x < 0.36 else "right" if x >= 0.64 else ""
    return f"{row} {column}".strip() or "center"


# ------------------------------------------------------------------------------- one checker for each kind


def _check_count(scene: Scene, pair: Pair, answer: str) -> None:
    name = _asked(pair.argument)
    found = _of(scene, name)
    assert answer == str(len(found))
    if pair.reasoning:
        listing = _numbered(found) if found else f" no {next(p for p, n in PLURALS.items() if n == name)}"
        assert _text(pair.reasoning) == f"I find{listing}."
        assert _grounds(pair, found)


def _check_presence(scene: Scene, pair: Pair, answer: str) -> None:
    found = _of(scene, _asked(pair.argument))
    assert answer == ("Yes" if found else "No")
    if pair.reasoning:
        assert _grounds(pair, found)
        if found:
            assert _text(pair.reasoning) == f"I find{_numbered(found)}."
        else:
            assert re.fullmatch(r"I find no (\w+)\.", _text(pair.reasoning))
            assert _asked(_text(pair.reasoning)) == _asked(pair.argument)


def _check_colour(scene: Scene, pair: Pair, answer: str) -> None:
    item = _only(scene, _asked(pair.argument))
    assert item.painted
    assert answer.lower() == item.colour
    assert answer[0].isupper()
    if pair.reasoning:
        assert _text(pair.reasoning) == f"The {item.name} is {item.colour}."
        assert _grounds(pair, [item])


def _check_where(scene: Scene, pair: Pair, answer: str) -> None:
    item = _only(scene, _asked(pair.argument))
    assert answer == f"At the {_cell(item)}."
    if pair.reasoning:
        assert _text(pair.reasoning) == f"I find the {item.name} at the {_cell(item)}."
        assert _grounds(pair, [item])


TOWARDS = {"to the left of": 180, "to the right of": 0, "above": 90, "below": 270}


def _check_relation(scene: Scene, pair: Pair, answer: str) -> None:
    item = _only(scene, _asked(pair.argument))
    (words,) = (words for words in TOWARDS if words in pair.argument)
    ((x, y),) = _centres([item])
    inside = []
    for other in scene.objects:
        ((ox, oy),) = _centres([other])
        angle = math.degrees(math.atan2(y - oy, ox - x)) % 360  # the y axis points down
        away = abs((angle - TOWARDS[words] + 180) % 360 - 180)
        if other is not item and away < 45 - 1e-9:
            inside.append((math.hypot(ox - x, oy - y), other))
    if not inside:
        assert answer == "Nothing"
        tail, near = "nothing", list[SceneObject]()
    else:
        distance, nearest = min(inside, key=lambda pair: pair[0])
        rivals = [d for d, other in inside if other.name != nearest.name]
        assert all(rival >= math.sqrt(1.4) * distance - 1e-9 for rival in rivals), "ambiguous"
        assert answer == _article(nearest.name).capitalize()
        tail = f"the {nearest.name}"
        # Two of one class may be equally near; rounding decides which of them is meant.
        near = [other for d, other in inside if d <= distance + 1e-9]
    if pair.reasoning:
        begin = words[0].upper() + words[1:]
        assert _text(pair.reasoning) == f"I find the {item.name}. {begin} it is {tail}."
        assert any(_grounds(pair, [item, *one]) for one in ([[o] for o in near] or [[]]))


def _check_what(scene: Scene, pair: Pair, answer: str) -> None:
    (group,) = re.findall(r"animals|foods|vehicles|objects", pair.argument)
    wanted = [item for item in scene.objects if group in ("objects", GROUPS[item.name])]
    names = list(dict.fromkeys(item.name for item in wanted))
    assert _listing(answer.rstrip(".")) == Counter((None, item.name) for item in wanted)
    if pair.reasoning:
        order = [item for name in names for item in _of(scene, name)]
        listing = ",".join(_numbered(_of(scene, name)) for name in names)
        assert _text(pair.reasoning) == f"I find{listing}."
        assert _grounds(pair, order)


def _check_total(scene: Scene, pair: Pair, answer: str) -> None:
    assert answer == str(len(scene.objects))
    if pair.reasoning:
        listing = ",".join(f" {item.name} {number}" for number, item in enumerate(scene.objects, 1))
        assert _text(pair.reasoning) == f"I find{listing or ' no objects'}."
        assert _grounds(pair, scene.objects)


def _listing(text: str) -> Counter[tuple[str | None, str]]:
    """ "Two red cars, a dog and a cat" as colours and classes with their numbers."""
    counts: Counter[tuple[str | None, str]] = Counter()
    for phrase in re.split(r", | and ", text[0].lower() + text[1:]):
        number, *colour, noun = phrase.split(" ")
        assert len(colour) <= 1
        if number in ("a", "an"):
            assert phrase == _article(phrase.split(" ", 1)[1])
            counts[(colour or [None])[0], SINGULARS[noun]] += 1
        else:
            assert NUMBERS[number] > 1
            counts[(colour or [None])[0], PLURALS[noun]] += NUMBERS[number]
    return counts


def _check_objects(scene: Scene, pair: Pair) -> None:
    *colour, noun = pair.argument.split(" ")
    found = [item for item in _of(scene, _class(noun)) if not colour or item.colour == colour[0]]
    assert set(colour) <= set(COLOURS)
    places = [(item.x, item.y) for item in pair.target if isinstance(item, Place)]
    assert places == _centres(found)
    step = 2 if pair.task == "detect" else 1
    assert len(pair.target) == step * len(found)
    for item, extent in zip(found, pair.target[1::2] if step == 2 else (), strict=step == 2):
        assert isinstance(extent, Extent)
        x0, y0, x1, y1 = item.box
        assert (extent.w, extent.h) == pytest.approx((x1 - x0, y1 - y0))


def _check_caption(scene: Scene, pair: Pair) -> None:
    (text,) = pair.target
    assert isinstance(text, str)
    wanted = Counter((item.colour if item.painted else None, item.name) for item in scene.objects)
    if pair.argument == "short":
        listing, places = text.rstrip("."), []
    else:
        first, *places = re.findall(r"[^.]+\.", text)
        match = re.fullmatch(r"The image shows (.+) on (.+)\.", first)
        assert match
        listing = match[1]
        assert match[2] == scene.background
    assert _listing(listing) == wanted if scene.objects else listing.lower() == "nothing"
    single = [item for item in scene.objects if len(_of(scene, item.name)) == 1]
    assert len(places) == (min(3, len(single)) if pair.argument == "long" else 0)
    for sentence, item in zip(places, single, strict=False):
        assert sentence == f" The {item.name} is at the {_cell(item)}."


CHECKS: dict[str, Callable[[Scene, Pair, str], None]] = {
    "count": _check_count,
    "presence": _check_presence,
    "colour": _check_colour,
    "where": _check_where,
    "relation": _check_relation,
    "what": _check_what,
    "total": _check_total,
}


def _check(scene: Scene, pair: Pair) -> None:
    assert (pair.task == "reason") == bool(pair.reasoning)
    if pair.task == "caption":
        return _check_caption(scene, pair)
    if pair.task in ("point", "detect"):
        return _check_objects(scene, pair)
    (answer,) = pair.target
    assert isinstance(answer, str)
    return CHECKS[pair.kind](scene, pair, answer)


# -------------------------------------------------------------------------------------------------- tests


@settings(deadline=None, max_examples=150)
@given(seed=seeds)
def test_answers_agree_with_the_scene(maker: SceneMaker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = maker.make(rng)
    for _ in range(12):
        _check(scene, QUESTIONER.draw(rng, scene))


@pytest.mark.parametrize("kind", sorted(CHECKS))
def test_each_kind_of_question(maker: SceneMaker, kind: str) -> None:
    """Every kind, asked often enough that each wording and both forms occur."""
    ask = {"relation": QUESTIONER.beside, "what": QUESTIONER.what_group}.get(kind) or getattr(
        QUESTIONER, kind
    )
    rng = np.random.default_rng(11)
    wordings, grounded = set(), set()
    for _ in range(60):
        scene = maker.make(rng)
        for form in (False, True):
            pair = ask(rng, scene, form)
            if pair is not None:
                assert pair.kind == kind
                _check(scene, pair)
                wordings.add(ASKED.sub("…", pair.argument))
                grounded.add(pair.task)
    assert len(wordings) >= 3
    assert grounded == {"query", "reason"}


@settings(deadline=None, max_examples=60)
@given(seed=seeds)
def test_grounded_words_point_into_their_object(maker: SceneMaker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = maker.make(rng)
    for _ in range(8):
        pair = QUESTIONER.query(rng, scene)
        for text, x, y in _spans(pair.reasoning) if pair else []:
            name = text.split(" ")[1]
            boxes = [item.box for item in scene.objects if item.name == name]
            assert any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes), (text, x, y)


def test_a_small_world_speaks_of_its_own_classes_only() -> None:
    classes = ("dog", "cat", "car", "apple", "pizza")
    small, questioner = (
        SceneMaker(Stage(side=48, classes=classes, most=4), 0, pool_size=4),
        Questioner(classes),
    )
    rng = np.random.default_rng(2)
    for _ in range(150):
        pair = questioner.draw(rng, small.make(rng))
        text = re.sub(r"\borange\b", "", " ".join([pair.argument, _text(pair.reasoning), _text(pair.target)]))
        assert {_class(word) for word in ASKED.findall(text)} <= set(classes)


def test_scenes_without_objects_can_be_asked_about() -> None:
    bare = SceneMaker(Stage(side=48, empty=1.0), 0, pool_size=2)
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(200):
        scene = bare.make(rng)
        pair = QUESTIONER.draw(rng, scene)
        _check(scene, pair)
        kinds.add(pair.kind)
    assert {"caption-short", "point-absent", "detect-absent", "count", "presence", "total"} <= kinds
    assert "colour" not in kinds


def test_the_same_generator_asks_the_same(maker: SceneMaker) -> None:
    scene = maker.make(np.random.default_rng(1))
    runs = [[QUESTIONER.draw(rng, scene) for _ in range(20)] for rng in map(np.random.default_rng, (7, 7, 8))]
    assert runs[0] == runs[1] != runs[2]


def test_answers_are_balanced(maker: SceneMaker) -> None:
    """Half of the presence answers are "No"; no count swallows the others; absent objects are asked for."""
    rng = np.random.default_rng(3)
    scenes = [maker.make(rng) for _ in range(250)]
    presence = [QUESTIONER.presence(rng, scene, False) for scene in scenes]
    assert 0.4 < np.mean([pair is not None and pair.target == ("No",) for pair in presence]) < 0.65
    counts = Counter(
        pair.target for pair in (QUESTIONER.count(rng, scene, False) for scene in scenes) if pair
    )
    assert {("0",), ("1",), ("2",), ("3",)} <= set(counts)
    assert max(counts.values()) < 0.65 * len(scenes)
    absent = [QUESTIONER.objects(rng, scene, "point").target == () for scene in scenes]
    assert 0.08 < np.mean(absent) < 0.35
