"""From a training run to a model directory: `python -m dreamscope.engine.sprite.export RUN_DIR MODEL_DIR`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from dreamscope.engine.sprite.conventions import MOONDREAM2, Conventions
from dreamscope.engine.sprite.network import Weights
from dreamscope.engine.sprite.optimizer import trainable
from dreamscope.engine.sprite.recipe import SPRITES, Sizes
from dreamscope.engine.sprite.vocabulary import templates, train_tokenizer, with_path_numbers


def load_tokenizer(path: Path, conventions: Conventions = MOONDREAM2) -> Tokenizer:
    """The tokenizer at `path`; trained and saved there first if it does not exist."""
    if not path.exists():
        tokenizer = train_tokenizer(1024)
        if "segment" in conventions.templates:
            tokenizer = with_path_numbers(tokenizer)
        tokenizer.save(str(path))
    return Tokenizer.from_file(str(path))


def mean_weights(run: Path) -> Weights | None:
    """The weights of a run, averaged over its processes; `None` if it holds no checkpoint."""
    states = [torch.load(path, weights_only=True)["weights"] for path in sorted(run.glob("rank*.pt"))]
    if not states:
        return None
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def export(weights: Weights, sizes: Sizes, tokenizer: Tokenizer, directory: Path) -> None:
    """Write `config.json`, `tokenizer.json` and fp16 `model.safetensors` under the checkpoint's names.

    The heads that only training has (`aux.`) stay behind.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = sizes.config(templates(tokenizer, sizes.conventions))
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    learned = set(trainable(weights))
    kept = {}
    for name, weight in weights.items():
        if not name.startswith("aux."):
            # Training saw the fixed Fourier features in bfloat16; fp16 holds those values exactly.
            seen = weight if name in learned else weight.bfloat16()
            kept[f"model.{name}"] = seen.half().contiguous()
    save_file(kept, directory / "model.safetensors", {"format": "pt"})


def main() -> None:
    """Export the averaged weights of a run."""
    parser = argparse.ArgumentParser(description="Export a training run as a model directory.")
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--sprite", choices=SPRITES, default="sprite-2")
    arguments = parser.parse_args()
    sizes = SPRITES[arguments.sprite].sizes
    mean = mean_weights(arguments.run)
    if mean is None:
        parser.error(f"{arguments.run} holds no checkpoint (rank0.pt …).")
    tokenizer = load_tokenizer(arguments.run / "tokenizer.json", sizes.conventions)
    export(mean, sizes, tokenizer, arguments.model)
    print(f"{arguments.model}: {sum(p.stat().st_size for p in arguments.model.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
