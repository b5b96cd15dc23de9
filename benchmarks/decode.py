"""How fast tokens come once they come, and how close that is to the limit of the memory.

A round decodes --tokens text tokens after an image and a question, through the loop that serves requests:
the token's embedding, all layers, the logits copied to the host, the greedy choice. The clock starts when
the first token is decided (so image and prompt are not in it) and stops when the last one is. Turning
tokens into text, and events, are not in it.

GB/s = tokens/s x bytes that one token makes the model read: every weight of the decoder and the output
layer once, but of a mixture only the active experts, in the form in which they are kept; one row of the
embedding; and the keys and values of all positions so far (the mean over the round). 1 GB is 10^9 bytes.
The limit is how fast plain memory can be read, measured in the same rounds: see bandwidth.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

from bandwidth import Scan, buffer_bytes, device_scan, host_scan
from report import Series, build_report, last_level_cache, usable_cores
from subject import Subject, build_parser, count, noise, run

from dreamscope.engine import wire
from dreamscope.engine.devices.base import ITEM_BYTES
from dreamscope.engine.errors import ContextLengthExceeded
from dreamscope.engine.models.base import Model
from dreamscope.engine.models.kv_cache import KVCache
from dreamscope.engine.models.moe import Moe
from dreamscope.engine.models.text import TextBlock
from dreamscope.engine.models.tokens import PromptItem, Text, Token
from dreamscope.engine.runtime.generate import generate
from dreamscope.engine.runtime.sampling import Sampler
from dreamscope.engine.skills.base import FinishReason, Outcome, Sampling, SkillRequest, Step
from dreamscope.engine.skills.registry import build_skill

QUESTION = "How many dogs are there?"


class Endless:
    """A skill that wants exactly `tokens` text tokens, whatever they are."""

    def __init__(self, tokens: int, answer_id: int) -> None:
        self._step = Step("text", suppressed=frozenset({answer_id}))  # as in an answer
        self._wanted = tokens
        self.finish_reason: FinishReason | None = None
        self.max_feed = tokens
        self.output_tokens = 0
        self.reasoning_tokens = 0

    def opening(self) -> list[PromptItem]:
        """The prompt is the caller's."""
        return []

    def step(self) -> Step:
        """Text."""
        return self._step

    def consume(self, token: Token) -> Outcome:
        """Count it and feed it, also if it is an end."""
        assert isinstance(token, Text)
        self.output_tokens += 1
        if self.output_tokens == self._wanted:
            return Outcome(self.close("length"))
        return Outcome(feed=(token.id,))

    def close(self, reason: FinishReason) -> tuple[wire.RequestEvent, ...]:
        """End."""
        self.finish_reason = reason
        return ()

    def result(self) -> wire.QueryResult:
        """Nothing that anybody would read."""
        return wire.QueryResult("")


def measure(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds. Raises `ContextLengthExceeded` if the tokens do not fit."""
    model, tokens = subject.model, options.tokens
    limits = _limits(subject, options.scan_mib)
    with model.device.inference():
        prefix, prompt = beginning(model)
        filled = prefix.length + len(prompt)
        room = model.config.text.max_context - filled - 1
        if tokens > room:
            raise ContextLengthExceeded(
                f"After image and question the context has room for {room} tokens, not {tokens}.", "tokens"
            )
        weights = weight_bytes(model)
        keys_and_values = cache_bytes(prefix, model, filled + (tokens + 1) / 2)
        decode(model, prefix, prompt, tokens)
        speeds: list[float] = []
        ceilings: dict[str, list[float]] = {name: [] for name in limits}
        for _ in range(options.rounds):
            for name, scan in limits.items():
                ceilings[name].append(scan() / 1e9)
            speeds.append(tokens / decode(model, prefix, prompt, tokens))
    achieved = [speed * (weights + keys_and_values) / 1e9 for speed in speeds]
    own = ceilings[_own_limit(subject)]
    report = build_report(
        "decode",
        subject.describe(),
        {
            "tokens_per_round": tokens,
            "positions_before": filled,
            "weight_bytes_per_token": weights,
            "kv_bytes_per_token": round(keys_and_values),
            "bytes_per_token": round(weights + keys_and_values),
        },
        [
            Series("decode", "tokens/s", speeds),
            Series("achieved", "GB/s", achieved),
            *(Series(f"memory read limit, {name}", "GB/s", values) for name, values in ceilings.items()),
            Series("achieved / limit", "%", [100 * a / b for a, b in zip(achieved, own, strict=True)]),
        ],
    )
    cache = last_level_cache()
    if _on_cpu(model) and cache is not None and weights < cache:
        report["notes"].append(
            f"The weights read per token ({weights / 1e6:.1f} MB) fit in the last-level cache "
            f"({cache / 1e6:.1f} MB) and need not come from memory: GB/s may exceed the memory's limit."
        )
    return report


def decode(model: Model, prefix: KVCache, prompt: Sequence[PromptItem], tokens: int) -> float:
    """Seconds from the first decided token to `tokens` tokens later."""
    cache = prefix.copy_of_prefix(prefix.length, prefix.length + len(prompt) + tokens)
    skill = Endless(tokens + 1, model.config.tokenizer.answer_id)
    steps = generate(model, skill, cache, prompt, Sampler(Sampling(temperature=0.0)))
    next(steps)
    begun = time.perf_counter()
    for _ in steps:
        pass
    seconds = time.perf_counter() - begun
    assert skill.output_tokens == tokens + 1
    return seconds


def weight_bytes(model: Model) -> int:
    """Bytes of the parameters that one token needs, in the form in which they are kept."""
    text = model.weights.text
    row = int(text.wte.nbytes) // int(text.wte.shape[0])
    return all_bytes((text.blocks, text.post_ln, text.lm_head)) - _inactive_bytes(text.blocks) + row


def cache_bytes(cache: KVCache, model: Model, positions: float) -> float:
    """Bytes of the keys and values of `positions` positions."""
    return cache.nbytes(ITEM_BYTES[model.device.dtype]) / cache.capacity * positions


def all_bytes(part: Any) -> int:
    """Bytes of the arrays in a tree of dataclasses and lists."""
    if hasattr(part, "nbytes"):  # an array, or packed matrices
        return int(part.nbytes)
    if dataclasses.is_dataclass(part):
        return sum(all_bytes(getattr(part, field.name)) for field in dataclasses.fields(part))
    if isinstance(part, (list, tuple)):
        return sum(map(all_bytes, part))
    return 0  # a setting, or a part that the family does not have


def _inactive_bytes(blocks: Sequence[TextBlock]) -> int:
    """Bytes of the experts that one position does not use."""
    mixtures = [block.mlp for block in blocks if isinstance(block.mlp, Moe)]
    shares = ((moe.fc1.shape[0] - moe.active, moe.fc1.shape[0], (moe.fc1, moe.fc2)) for moe in mixtures)
    return sum(all_bytes(stacks) * idle // experts for idle, experts, stacks in shares)


def beginning(model: Model) -> tuple[KVCache, list[PromptItem]]:
    """A cached image, and the prompt of a question about it."""
    side = model.config.vision.crop_size
    prefix = model.new_cache(model.config.prefix_len)
    model.prefill_image(model.encode_image(model.crop(noise(side, side, seed=0))), prefix)
    request = SkillRequest("query", question=QUESTION)
    return prefix, build_skill(request, model.config.tokenizer, model.tokenizer).opening()


def _limits(subject: Subject, scan_mib: int | None) -> dict[str, Scan]:
    size = buffer_bytes() if scan_mib is None else scan_mib << 20
    if not _on_cpu(subject.model):
        return {_own_limit(subject): device_scan(subject.model.device, size)}
    cores = usable_cores()
    return {_threads(n): host_scan(size, n) for n in sorted({1, subject.threads or cores, cores})}


def _own_limit(subject: Subject) -> str:
    """The limit that the model runs into."""
    return _threads(subject.threads or usable_cores()) if _on_cpu(subject.model) else "matrix x vector"


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _on_cpu(model: Model) -> bool:
    name = model.device.name
    return name == "cpu" or (name.startswith("mlx") and sys.platform != "darwin")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = build_parser(__doc__ or "", rounds=7)
    parser.add_argument(
        "--tokens", type=count, default=128, metavar="N", help="tokens in a round (%(default)s)"
    )
    parser.add_argument(
        "--scan-mib",
        type=count,
        metavar="N",
        help="memory read to find its limit (8 times the last-level cache, at least 256 MiB)",
    )
    return run(parser, argv, measure)


if __name__ == "__main__":
    sys.exit(main())
