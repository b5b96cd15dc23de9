"""A batch with pages computes what one sequence with its own cache does: the small models, float32."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dreamscope.engine.devices.base import Device
from dreamscope.engine.devices.program import Features, Feeds
from dreamscope.engine.devices.runner import Draws, ImageKey, Limits, Prefill, Rule, positions_of
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.batched import BatchedModel
from dreamscope.engine.models.crops import Crops
from dreamscope.engine.models.lora import Adapter, ExpertLowRank, LowRank
from dreamscope.engine.models.registry import find_model
from dreamscope.engine.models.tokens import Coord, Picture, PromptItem, Size
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.pictures import prefill_pictures
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.runtime.scheduler import Scheduler
from dreamscope.engine.runtime.sequence import Sequence as Request
from dreamscope.engine.runtime.skill_driver import SkillDriver
from dreamscope.engine.skills.base import Sampling, SkillRequest
from dreamscope.engine.skills.registry import build_skill
from dreamscope.engine.weights.load import load_model

SCENES = Path(__file__).resolve().parents[3] / "static" / "scenes"
TOLERANCE = 1e-4
SUPPRESSED = frozenset({0})
FREE_OF_END = Rule(suppressed=SUPPRESSED, numbers=frozenset({5, 6}))
GREEDY = Sampling(temperature=0.0, max_tokens=40, max_objects=6)
ASKED = (
    SkillRequest("query", GREEDY, question="How many apples are there?", reasoning=True),
    SkillRequest("query", GREEDY, question="What is here?"),
    SkillRequest("caption", GREEDY, length="short"),
    SkillRequest("point", GREEDY, object="apple"),
    SkillRequest("detect", GREEDY, object="apple"),
    SkillRequest("query", GREEDY, question="What is this?", spatial_refs=((0.3, 0.4, 0.6, 0.7),)),
)
SEGMENT = SkillRequest("segment", GREEDY, object="apple")


@pytest.fixture(scope="module", params=["sprite-2", "sprite-3"])
def sprite(request: pytest.FixtureRequest, device: Device) -> Model:
    return load_model(find_model(request.param), device)


@pytest.fixture(scope="module")
def crops(sprite: Model) -> Crops:
    with Image.open(SCENES / "picnic.png") as scene:
        return sprite.crop(np.asarray(scene.convert("RGB")))


@pytest.fixture(scope="module")
def other(sprite: Model) -> Crops:
    with Image.open(SCENES / "street.png") as scene:
        return sprite.crop(np.asarray(scene.convert("RGB")))


def limits(model: Model, pages: int = 4000) -> Limits:
    t = model.config.text
    return Limits(max_batch=8, rows=10, max_seq=t.max_context, vocab=t.vocab_size, n_pages=pages)


@pytest.fixture
def program(sprite: Model) -> Iterator[BatchedModel]:
    program = sprite.batched(limits(sprite))
    program.set_rule(1, FREE_OF_END)
    program.upload_rules()
    with sprite.device.inference():
        yield program


def key(model: Model, name: str = "a") -> ImageKey:
    return ImageKey(name, model.config.image_tokens)


def texts(model: Model) -> list[PromptItem]:
    ids = model.config.tokenizer
    numbers: list[PromptItem] = [Coord(0.25), Coord(0.5), Size(0.2, 0.3)]
    return [*ids.query_prefix, *numbers, *model.tokenizer.encode("What is this?"), *ids.query_opener(False)]


def place(program: BatchedModel, row: int, first: int, length: int) -> None:
    program.table.host[row, :length] = np.arange(first, first + length)
    program.table.upload()


def read(program: BatchedModel, *prompts: Prefill) -> np.ndarray:
    """Logits `[n, V]` of prompts in pages of their own."""
    for prompt in prompts:
        place(program, prompt.row, prompt.row * 400 + 1, positions_of(prompt.elements) + 20)
    return program.device.numpy(program.prefill(prompts).logits)


def plain_logits(
    model: Model,
    items: Sequence[PromptItem | Picture],
    images: Sequence[Crops],
    adapter: Adapter | None = None,
) -> tuple[np.ndarray, Any]:
    cache = model.new_cache()
    rest = prefill_pictures(model, items, lambda index: model.encode_image(images[index]), cache, adapter)
    hidden = model.forward(model.embed(rest), cache, adapter)
    return model.logits(hidden), (hidden, cache)


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, atol=TOLERANCE)


# --------------------------------------------------------------------------------------------------- prompts


@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_prompt_gives_the_logits_of_the_plain_loop(
    sprite: Model, program: BatchedModel, crops: Crops, other: Crops, images: int
) -> None:
    bos, text = sprite.config.tokenizer.bos_id, texts(sprite)
    shown = [crops, other][:images]
    items: list[Any] = [bos]
    for index in range(images):
        items += [Picture(index), *text]
    items += text
    elements = [key(sprite, str(one.index)) if isinstance(one, Picture) else one for one in items]
    close(read(program, Prefill(3, 0, elements, 0, shown))[0], plain_logits(sprite, items, shown)[0])


def test_prompts_in_one_forward_are_apart(
    sprite: Model, program: BatchedModel, crops: Crops, other: Crops
) -> None:
    bos, text = sprite.config.tokenizer.bos_id, texts(sprite)
    prompts = [
        Prefill(1, 0, [bos, key(sprite), *text], 0, (crops,)),
        Prefill(2, 0, [bos, *text[:5]], 0),
        Prefill(3, 0, [bos, key(sprite, "b"), *text[:7]], 0, (other,)),
    ]
    together = read(program, *prompts)
    for index, prompt in enumerate(prompts):
        close(together[index], read(program, prompt)[0])


@pytest.mark.parametrize("skip", [2, 6])
def test_a_cached_prefix_changes_nothing(
    sprite: Model, program: BatchedModel, crops: Crops, skip: int
) -> None:
    """I28"""
    elements = [sprite.config.tokenizer.bos_id, key(sprite), *texts(sprite)]
    expected = read(program, Prefill(1, 0, elements, 0, (crops,)))
    shared = positions_of(elements[:skip])
    place(program, 2, 2000, 300)
    program.table.host[2, :shared] = program.table.host[1, :shared]
    with_hit = program.device.numpy(program.prefill([Prefill(2, 0, elements, skip)]).logits)
    close(with_hit, expected)


# ---------------------------------------------------------------------------------------------------- decode


def decided(program: BatchedModel, rows: Sequence[int], features: Features) -> np.ndarray:
    device = program.device
    at, rules = device.array(np.array(rows)), device.array(np.ones(len(rows), np.int64))
    return device.numpy(program.choose(at, features, rules, None, True).picked).astype(int)


def fed(program: BatchedModel, rows: Sequence[int], lengths: Sequence[int], slots: Any = None) -> Features:
    device = program.device
    arrays = (device.array(np.array(each)) for each in (rows, lengths))
    adapters = None if slots is None else device.array(np.array(slots))
    return program.decode(Feeds(*arrays, adapters, max(lengths) + 1))


def element(model: Model, picked: np.ndarray) -> PromptItem:
    ids, (index, coord, w, h) = model.config.tokenizer, picked.tolist()
    if index == ids.coord_id:
        return Coord.from_bin(coord, model.config.region.coord_steps)
    return Size.from_bins(w, h) if index == ids.size_id else index


def check_decoding(
    model: Model,
    program: BatchedModel,
    prompts: Sequence[Prefill],
    features: Features,
    plain: Sequence[tuple[np.ndarray, Any]],
    adapters: Sequence[Adapter | None],
) -> None:
    """Eight steps of all prompts in one batch, each held to the plain loop with what the batch decided."""
    rows, slots = [one.row for one in prompts], [one.adapter for one in prompts]
    states = [state[1] for _, state in plain]
    lengths = [positions_of(one.elements) for one in prompts]
    kinds = set()
    for _ in range(8):
        picked = decided(program, rows, features)
        features = fed(program, rows, lengths, slots if any(slots) else None)
        lengths = [length + 1 for length in lengths]
        for index, cache in enumerate(states):
            item = element(model, picked[index])
            kinds.add(type(item))
            hidden = model.forward(model.embed([item]), cache, adapters[index])
            close(model.device.numpy(features.logits)[index], model.logits(hidden))
    assert Coord in kinds
    assert int in kinds


def test_a_batch_decodes_what_its_sequences_do(
    sprite: Model, program: BatchedModel, crops: Crops, other: Crops
) -> None:
    ids = sprite.config.tokenizer
    asked = [*ids.query_prefix, *sprite.tokenizer.encode("How many apples?"), *ids.query_opener(True)]
    pointed = [*ids.point_prefix, *sprite.tokenizer.encode("apple"), *ids.point_suffix]
    prompts = [
        Prefill(1, 0, [ids.bos_id, key(sprite), *asked], 0, (crops,)),
        Prefill(4, 0, [ids.bos_id, key(sprite), *pointed], 0, (crops,)),
        Prefill(2, 0, [ids.bos_id, key(sprite, "b"), *texts(sprite)], 0, (other,)),
    ]
    read(program, *prompts)
    features = program.prefill(prompts)
    plain = []
    for prompt in prompts:
        bos, _, *rest = prompt.elements
        plain.append(plain_logits(sprite, [bos, Picture(0), *rest], prompt.images))
    check_decoding(sprite, program, prompts, features, plain, [None] * 3)


# -------------------------------------------------------------------------------------------------- adapters


def random_adapter(model: Model, seed: int, rank: int) -> Adapter:
    """Adds to the perceptrons of every block, in a mixture to every expert."""
    rng, device = np.random.default_rng(seed), model.device

    def matrix(*shape: int) -> Any:
        return device.array((rng.standard_normal(shape) * 0.08).astype(np.float32))

    blocks = []
    for block in model.weights.text.blocks:
        if hasattr(block.mlp, "router"):
            shapes = {"fc1": block.mlp.fc1.shape, "fc2": block.mlp.fc2.shape}
            sites: Any = {
                site: ExpertLowRank(matrix(n, rank, into), matrix(n, out, rank))
                for site, (n, out, into) in shapes.items()
            }
        else:
            linears = {"qkv": block.qkv, "fc1": block.mlp.fc1, "fc2": block.mlp.fc2}
            sites = {
                site: LowRank(matrix(linear.weight.shape[1], rank), matrix(rank, linear.weight.shape[0]))
                for site, linear in linears.items()
            }
        blocks.append(sites)
    return Adapter(str(seed), blocks, 0)


def test_rows_with_different_adapters_decode_together(
    sprite: Model, program: BatchedModel, crops: Crops
) -> None:
    """I32; the second adapter has a higher rank and another slot than any before it."""
    adapters = [None, random_adapter(sprite, 1, 3), random_adapter(sprite, 2, 5)]
    for slot, adapter in ((1, adapters[1]), (4, adapters[2])):
        program.load_adapter(slot, adapter)
    bos = sprite.config.tokenizer.bos_id
    text = [sprite.config.tokenizer.query_prefix[0], *texts(sprite)]
    prompts = [
        Prefill(row, slot, [bos, key(sprite), *text], 0, (crops,)) for row, slot in ((1, 0), (2, 1), (3, 4))
    ]
    last, plain = [], []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        read(program, prompt)
        last.append(program.prefill([prompt]))
        plain.append(plain_logits(sprite, [bos, Picture(0), *text], (crops,), adapter))
        close(program.device.numpy(last[-1].logits)[0], plain[-1][0])
    assert np.abs(plain[0][0] - plain[1][0]).max() > 10 * TOLERANCE
    device = program.device
    features = Features(
        device.concat([one.hidden for one in last], 0), device.concat([one.logits for one in last], 0)
    )
    check_decoding(sprite, program, prompts, features, plain, adapters)


def test_a_slot_forgets_the_adapter_before(sprite: Model, program: BatchedModel) -> None:
    prompt = Prefill(1, 1, [sprite.config.tokenizer.bos_id, *texts(sprite)], 0)
    new = random_adapter(sprite, 2, 2)
    partial_one = Adapter("partial", [{"fc1": sites["fc1"]} for sites in new.blocks], 0)
    program.load_adapter(1, partial_one)
    expected = read(program, prompt)
    program.load_adapter(1, random_adapter(sprite, 1, 4))
    assert np.abs(read(program, prompt) - expected).max() > 10 * TOLERANCE
    program.load_adapter(1, partial_one)
    close(read(program, prompt), expected)


def test_prompts_with_different_adapters_are_refused(sprite: Model, program: BatchedModel) -> None:
    prompts = [Prefill(row, row - 1, [0, 30], 0) for row in (1, 2)]
    with pytest.raises(ValueError, match="different adapters"):
        program.prefill(prompts)


# ---------------------------------------------------------------------------------------------------- skills


@dataclass(frozen=True)
class Ticket:
    crops: Crops
    ready: bool = True

    def request(self) -> None:
        """It is there."""

    def payload(self) -> Crops:
        return self.crops


def build_request(model: Model, asked: SkillRequest, crops: Crops, name: str) -> tuple[Request, Any]:
    config = model.config
    skill = build_skill(asked, config.tokenizer, model.tokenizer)
    before = (config.tokenizer.bos_id, key(model))
    driver = SkillDriver(
        skill,
        config.tokenizer,
        (*before, *skill.opening()),
        lambda restart: (*before, *restart.prompt),
        config.region.coord_steps,
        1024,
        asked.uncertainty,
    )
    request = Request(
        name,
        (*before, *skill.opening()),
        driver,
        skill.max_feed + 1,
        images={"a": Ticket(crops)},
        temperature=asked.sampling.temperature,
        detail=asked.uncertainty,
    )
    return request, skill


def test_every_skill_says_in_a_batch_what_it_says_alone(sprite: Model, crops: Crops) -> None:
    """All at once on the device's runner, at depth 2 and with a shared prefix, held to the plain loop."""
    asked = list(ASKED) + ([SEGMENT] if sprite.config.tokenizer.rules.numbers_anywhere else [])
    runner = build_runner(sprite, limits(sprite), time.monotonic)
    scheduler = Scheduler(runner, lambda updates: None, time.monotonic)
    try:
        made = [build_request(sprite, one, crops, str(index)) for index, one in enumerate(asked)]
        for request, _ in made:
            scheduler.submit(request)
        while scheduler.has_work():
            scheduler.tick()
    finally:
        runner.close()
    for one, (request, skill) in zip(asked, made, strict=True):
        assert request.error is None
        assert skill.result() == plain_result(sprite, one, crops), one.skill
    assert sum(request.shared_steps for request, _ in made) > sum(r.decode_steps for r, _ in made)
    assert any(request.cached_tokens for request, _ in made)


def plain_result(model: Model, asked: SkillRequest, crops: Crops) -> Any:
    skill = build_skill(asked, model.config.tokenizer, model.tokenizer)
    with model.device.inference():
        cache = model.new_cache()
        model.prefill_image(model.encode_image(crops), cache)
        for _ in generate(
            model, skill, cache, skill.opening(), Sampler(asked.sampling), uncertainty=asked.uncertainty
        ):
            pass
    return skill.result()


# -------------------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize("announced", ["coord", "size"])
def test_the_model_tells_how_sure_it_is(sprite: Model, crops: Crops, announced: str) -> None:
    """Under a rule and a temperature, what is told is what the model itself gives."""
    ids = sprite.config.tokenizer
    prompt = [
        ids.bos_id,
        key(sprite),
        *ids.point_prefix,
        *sprite.tokenizer.encode("apple"),
        *ids.point_suffix,
    ]
    runner = build_runner(sprite, limits(sprite))
    numbers = frozenset({ids.coord_id, ids.size_id})
    only = ids.coord_id if announced == "coord" else ids.size_id
    runner.set_mask(1, Rule(allowed=frozenset({only}), numbers=numbers))
    runner.set_pages(1, range(1, 300))
    draws = Draws(
        np.ones(1, np.float32), np.full(1, 0.5, np.float32), np.full((1, 4), 0.3, np.float32), detail=True
    )
    try:
        runner.prefill(0, [Prefill(1, 0, prompt, 0, (crops,))], draws)
        runner.sample(0, np.ones(1, np.int32)).wait(20)
        host = runner.read(0)
    finally:
        runner.close()
    with sprite.device.inference():
        bos, _, *rest = prompt
        logits, (hidden, _) = plain_logits(sprite, [bos, Picture(0), *rest], (crops,))
        coords, sizes = sprite.coord_logits(hidden), sprite.size_logits(hidden)
    assert host.ids.tolist() == [only]
    weights = np.exp(logits.astype(np.float64) - logits.max())
    assert host.detail is not None
    assert host.detail.probability[0] == pytest.approx(weights[only] / weights.sum(), rel=1e-3)
    assert host.detail.coord is not None
    assert host.detail.size is not None
    if announced == "coord":
        close(host.detail.coord[0], coords)
    else:
        close(host.detail.size[0], sizes)


def test_a_row_that_is_no_number_has_no_id(sprite: Model, program: BatchedModel) -> None:
    hidden, logits = np.zeros((2, 192), np.float32), np.zeros((2, program.limits.vocab), np.float32)
    logits[0, 40] = np.nan
    logits[1, 41] = 1
    features = Features(*(program.device.array(each) for each in (hidden, logits)))
    assert decided(program, (1, 2), features)[:, 0].tolist() == [-1, 41]
    place(program, 1, 1, 30)
    fed(program, (1, 2), (0, 0))  # what is pending can be fed all the same


@pytest.mark.parametrize("announced", ["coord", "size"])
def test_numbers_are_drawn_where_the_family_draws_them(
    sprite: Model, program: BatchedModel, announced: str
) -> None:
    from dreamscope.engine.devices.program import Draw

    ids = sprite.config.tokenizer
    only = frozenset({ids.coord_id if announced == "coord" else ids.size_id})
    program.set_rule(1, Rule(allowed=only, numbers=only))
    program.upload_rules()
    device, rng = program.device, np.random.default_rng(3)
    hidden = rng.standard_normal((1, 192)).astype(np.float32)
    logits = np.zeros((1, program.limits.vocab), np.float32)
    features = Features(*(device.array(each) for each in (hidden, logits)))
    seen = set()
    for number in np.linspace(0, 0.999, 20):
        uniforms = np.full((1, 4), number, np.float32)
        draw = Draw(*(device.array(each) for each in (np.full(1, 3.0), np.ones(1), uniforms)))
        at = device.array(np.array([1]))
        picked = device.numpy(program.choose(at, features, at, draw, True).picked)[0]
        seen.add(tuple(picked[1:].tolist()))
    assert (len(seen) > 10) == sprite.config.tokenizer.rules.samples_numbers
