"""Which tensors an adapter of Moondream 3 holds, and how they become the parameters of one.

Perceptrons and experts are adapted, attention and routing are not. A file names them
`text_lora.dense.<layer>.up_a` and `text_lora.moe.<layer after the dense ones>.up_a`, once or a second time
below `_text`; both are accepted. What an adapter may hold for the vision encoder is not used, as in the
reference.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from dreamscope.engine.models.lora import ExpertLowRank, LowRank
from dreamscope.engine.models.moondream3.config import Moondream3Config
from dreamscope.engine.models.parts import GetTensor
from dreamscope.engine.models.text import Site

_KEY = re.compile(r"(?:text_lora|_text)\.(dense|moe)\.(\d+)\.(up|down)_([ab])")
_SITES: dict[str, Site] = {"up": "fc1", "down": "fc2"}
_LINEARS: tuple[Site, ...] = ("fc1", "fc2")


def canonical_adapter_name(config: Moondream3Config, key: str) -> str | None:
    """`text.blocks.i.mlp.fc1.A` and so on; `None` for what is not used, other keys as they are."""
    if key.startswith(("vision_lora.", "_vision.")):
        return None
    match = _KEY.fullmatch(key)
    if match is None:
        return key
    kind, index, direction, letter = match.groups()
    first = config.text.moe.start_layer if kind == "moe" and config.text.moe is not None else 0
    return f"text.blocks.{first + int(index)}.mlp.{_SITES[direction]}.{letter.upper()}"


def problem_of(found: Mapping[str, tuple[int, ...]], config: Moondream3Config) -> str | None:
    """Why tensors of these names and shapes are no adapter of such a model; `None` if they are one.

    A linear is adapted with both of its matrices or not at all.
    """
    known: set[str] = set()
    for layer in range(config.text.n_layers):
        for site, (stack, into, out) in _linears(config, layer).items():
            a, b = (f"text.blocks.{layer}.mlp.{site}.{letter}" for letter in "AB")
            known |= {a, b}
            if (a in found) != (b in found):
                return f"it has {a if a in found else b} without its partner"
            if a not in found:
                continue
            rank = found[a][-2] if len(found[a]) > 1 else 0
            for key, wanted in ((a, (*stack, rank, into)), (b, (*stack, out, rank))):
                if rank < 1 or found[key] != wanted:
                    expected = _shape(stack, key, into, out)
                    return f"{key} has the shape {list(found[key])} instead of {expected}"
    for name in found:
        if name not in known:
            layers = config.text.n_layers
            return f"it holds {name:.80}, which the model with its {layers} layers does not have"
    return None if found else "it is empty"


def build_blocks(
    config: Moondream3Config, names: Collection[str], get: GetTensor, transposed: GetTensor
) -> list[dict[Site, LowRank | ExpertLowRank]]:
    """Arrange tensors by canonical name. `get` gives one as stored, `transposed` its transpose."""
    blocks: list[dict[Site, LowRank | ExpertLowRank]] = []
    for layer in range(config.text.n_layers):
        block: dict[Site, LowRank | ExpertLowRank] = {}
        for site in _LINEARS:
            a, b = (f"text.blocks.{layer}.mlp.{site}.{letter}" for letter in "AB")
            if a not in names:
                continue
            if config.text.experts_in(layer) is None:
                block[site] = LowRank(transposed(a), transposed(b))
            else:
                block[site] = ExpertLowRank(get(a), get(b))
        blocks.append(block)
    return blocks


def _linears(config: Moondream3Config, layer: int) -> dict[Site, tuple[tuple[int, ...], int, int]]:
    """For each adapted linear its leading axes, and the width of what goes in and of what comes out."""
    t, mixture = config.text, config.text.experts_in(layer)
    if mixture is None:
        return {"fc1": ((), t.dim, t.ff_dim), "fc2": ((), t.ff_dim, t.dim)}
    stack, inner = (mixture.num_experts,), mixture.expert_inner_dim
    return {"fc1": (stack, t.dim, 2 * inner), "fc2": (stack, inner, t.dim)}


def _shape(stack: tuple[int, ...], key: str, into: int, out: int) -> str:
    pair = ("rank", into) if key.endswith(".A") else (out, "rank")
    return f"[{', '.join(str(size) for size in (*stack, *pair))}]"
