"""Train a Sprite: `python -m dreamscope.engine.sprite.train RUN_DIR [--sprite sprite-3 --from RUN_DIR]`.

One process per core with one thread each; parameters are averaged every few steps (local SGD), each process
keeps its own optimiser state. A run directory holds a checkpoint per process and a log; starting again in the
same directory goes on from there. Given the recipe, nothing depends on the clock: a resumed run draws the
same batches. `--images` may be changed between sessions as long as the decay has not begun; after that it may
be lowered, and the rate falls faster.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from torch import Tensor

from dreamscope.engine.sprite.batch import Batcher
from dreamscope.engine.sprite.export import load_tokenizer
from dreamscope.engine.sprite.initial import initial_weights
from dreamscope.engine.sprite.losses import Terms, initial_heads, score
from dreamscope.engine.sprite.network import Network, Weights
from dreamscope.engine.sprite.optimizer import Optimizer, clip, trainable
from dreamscope.engine.sprite.recipe import SPRITES, Recipe, at
from dreamscope.engine.sprite.upcycle import warm_start
from dreamscope.engine.sprite.vocabulary import PairEncoder

_SAVE_EVERY = 200
_LOG_EVERY = 50
_ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
"""glibc keeps freed memory instead of handing it back after every step: a sixth less time per step."""


class Averager:
    """Averages a flat parameter vector over all processes through shared memory."""

    def __init__(self, processes: int, length: int) -> None:
        self._slots = torch.zeros(processes, length).share_memory_()
        self._barrier = mp.get_context("spawn").Barrier(processes)

    def __call__(self, rank: int, flat: Tensor) -> Tensor:
        """The mean over processes; every process must call it."""
        self._slots[rank].copy_(flat)
        self._barrier.wait()
        mean = self._slots.mean(0)
        self._barrier.wait()
        return mean


class Trainer:
    """One process of a run: weights, optimiser, batches, and its checkpoint."""

    def __init__(self, recipe: Recipe, directory: Path, rank: int) -> None:
        self.recipe = recipe
        self._path = directory / f"rank{rank}.pt"
        self.rank = rank
        sizes = recipe.sizes
        tokenizer = load_tokenizer(directory / "tokenizer.json", sizes.conventions)
        encoder = PairEncoder(tokenizer, sizes.conventions, recipe.drawn)
        self._batches = Batcher(recipe, encoder, rank)
        self._words = torch.tensor([encoder.text(f" {name}")[0] for name in recipe.classes])
        self.weights = _first_weights(recipe, directory)
        self.names = trainable(self.weights)
        self._optimizer = Optimizer(self.weights, recipe.muon_rate, recipe.adam_rate)
        self.step = 0
        if self._path.exists():
            self._restore(torch.load(self._path, weights_only=True))

    @property
    def seen(self) -> int:
        """Images seen by all processes together."""
        return self.step * self.recipe.vision_batch * self.recipe.processes

    def advance(self) -> Terms:
        """One step: forward and backward in bfloat16, update of the float32 master weights."""
        recipe, seen = self.recipe, self.seen
        working = {name: weight.to(torch.bfloat16) for name, weight in self.weights.items()}
        for name in self.names:
            working[name].requires_grad_()
        batch = self._batches.draw(self.step, seen)
        net = Network(recipe.sizes, working, recipe.tanh(seen))
        terms = score(net, batch, self._words, at(recipe.sigmas, seen))
        terms.total(at(recipe.dense, seen)).backward()
        gradients = {name: _gradient(working[name]) for name in self.names}
        clip(gradients, 2.0)
        self._optimizer.step(gradients, recipe.rate(seen))
        self.step += 1
        return terms

    def average(self, averager: Averager) -> None:
        """Replace the weights by their mean over processes."""
        flat = averager(self.rank, torch.cat([self.weights[name].flatten() for name in self.names]))
        parts = flat.split([self.weights[name].numel() for name in self.names])
        for name, part in zip(self.names, parts, strict=True):
            self.weights[name].copy_(part.view_as(self.weights[name]))

    def save(self) -> None:
        """Write the checkpoint in one move, so that a kill leaves the old or the new one."""
        state = {"weights": self.weights, "optimizer": self._optimizer.state, "step": self.step}
        temporary = self._path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self._path)

    def _restore(self, state: dict[str, Any]) -> None:
        for name, weight in state["weights"].items():
            self.weights[name].copy_(weight)
        self._optimizer.state = state["optimizer"]
        self.step = state["step"]


def _first_weights(recipe: Recipe, directory: Path) -> Weights:
    """Those of a warm start if the run has one, random ones otherwise."""
    start = directory / "start.pt"
    if start.exists():
        weights: Weights = torch.load(start, weights_only=True)
        return weights
    sizes = recipe.sizes
    heads = initial_heads(sizes.vision_dim, sizes.dim, len(recipe.classes), recipe.seed)
    return initial_weights(sizes, recipe.seed) | heads


def _gradient(weight: Tensor) -> Tensor:
    return torch.zeros(weight.shape) if weight.grad is None else weight.grad.float()


def run(rank: int, recipe: Recipe, directory: Path, averager: Averager) -> None:
    """Body of one process: steps until the recipe's images are seen."""
    torch.set_num_threads(1)
    trainer = Trainer(recipe, directory, rank)
    started, first, parent = time.monotonic(), trainer.seen, os.getppid()
    while trainer.seen < recipe.images:
        if os.getppid() != parent:  # the run was killed; left over, this process would fight the next run
            return
        terms = trainer.advance()
        if trainer.step % recipe.average_every == 0:
            trainer.average(averager)
        if trainer.step % _SAVE_EVERY == 0:
            trainer.save()
        if rank == 0 and trainer.step % _LOG_EVERY == 0:
            speed = (trainer.seen - first) / (time.monotonic() - started)
            _log(directory, trainer, terms, speed)
    trainer.average(averager)
    trainer.save()


def _log(directory: Path, trainer: Trainer, terms: Terms, speed: float) -> None:
    row = {
        "images": trainer.seen,
        "rate": round(trainer.recipe.rate(trainer.seen), 4),
        "images_per_s": round(speed, 1),
        **{f.name: round(float(getattr(terms, f.name).detach()), 3) for f in dataclasses.fields(terms)},
    }
    print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    with (directory / "log.jsonl").open("a") as log:
        log.write(json.dumps(row) + "\n")


def mismatch(directory: Path, processes: int) -> str | None:
    """Why the checkpoints in `directory` cannot go on together; None if they can or there are none.

    A run killed between the saves of two processes leaves different steps; their barriers would not meet.
    """
    found = sorted(directory.glob("rank*.pt"))
    steps = {path.name: torch.load(path, weights_only=True, mmap=True)["step"] for path in found}
    if found and len(found) != processes:
        return f"{directory} holds {len(found)} checkpoints, but the run has {processes} processes."
    if len(set(steps.values())) > 1:
        return f"The checkpoints are at different steps: {steps}. Copy the newest one over the others."
    return None


def main() -> None:
    """Parse the command line and start the processes."""
    parser = argparse.ArgumentParser(description="Train a Sprite; resumes when the directory holds a run.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sprite", choices=SPRITES, default="sprite-2", help="the recipe")
    parser.add_argument("--from", dest="source", type=Path, help="begin with the weights of this run")
    parser.add_argument("--images", type=int, help="images in all, decay included")
    parser.add_argument("--processes", type=int)
    arguments = parser.parse_args()
    changes = {key: getattr(arguments, key) for key in ("images", "processes") if getattr(arguments, key)}
    recipe = dataclasses.replace(SPRITES[arguments.sprite], **changes)
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    if problem := mismatch(directory, recipe.processes):
        parser.error(problem)
    if arguments.source and recipe.sizes.mixture is None:
        parser.error("--from is for the recipes of Sprite 3.")
    if arguments.source and not any(directory.glob("rank*.pt")):
        warm_start(arguments.source, directory, recipe)
    load_tokenizer(directory / "tokenizer.json", recipe.sizes.conventions)
    learned = _first_weights(recipe, directory)
    averager = Averager(recipe.processes, sum(learned[name].numel() for name in trainable(learned)))
    os.environ.update(_ALLOCATOR)  # the processes read it when they start
    mp.spawn(run, (recipe, directory, averager), recipe.processes)


if __name__ == "__main__":
    main()
