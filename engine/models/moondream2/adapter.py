"""Which tensors an adapter of Moondream 2 holds, and how they become the parameters of one.

A published variant carries the key names of its training, `text_model.transformer.h.0.mixer.Wqkv.
parametrizations.weight.0.A`; `canonical_adapter_name` turns them into `text.blocks.0.attn.qkv.A`.
"""

from __future__ import annotations

from collections.abc import Iterator

from dreamscope.engine.models.lora import LowRank
from dreamscope.engine.models.moondream2.config import Moondream2Config
from dreamscope.engine.models.moondream2.weights import GetTensor
from dreamscope.engine.models.text import Site

SITES: dict[Site, str] = {"qkv": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
_RENAMED = (
    ("text_model.transformer.h", "text.blocks"),
    (".mixer", ".attn"),
    (".out_proj", ".proj"),
    (".Wqkv", ".qkv"),
    (".parametrizations.weight.0", ""),
)


def canonical_adapter_name(key: str) -> str:
    """`text.blocks.i.<linear>.A` or `.B` for a key of either spelling; other keys come back as they are."""
    for old, new in _RENAMED:
        key = key.replace(old, new)
    return key


def adapted_linears(config: Moondream2Config) -> Iterator[tuple[str, int, int]]:
    """Name, input width and output width of every linear that an adapter must cover."""
    t = config.text
    widths: dict[Site, tuple[int, int]] = {
        "qkv": (t.dim, t.qkv_dim),
        "proj": (t.dim, t.dim),
        "fc1": (t.dim, t.ff_dim),
        "fc2": (t.ff_dim, t.dim),
    }
    for layer in range(t.n_layers):
        for site, (into, out) in widths.items():
            yield f"text.blocks.{layer}.{SITES[site]}", into, out


def build_blocks(config: Moondream2Config, get: GetTensor) -> list[dict[Site, LowRank]]:
    """Arrange tensors by canonical name; `get` gives the transpose of `<linear>.A` and `<linear>.B`."""
    return [
        {
            site: LowRank(get(f"text.blocks.{layer}.{name}.A"), get(f"text.blocks.{layer}.{name}.B"))
            for site, name in SITES.items()
        }
        for layer in range(config.text.n_layers)
    ]
