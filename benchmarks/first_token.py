"""How long the first token takes: for an image the engine has never seen, and for the next question on it.

A round submits two questions about a new image to a running engine, one after the other. The clock starts
when a question is submitted, with the image decoded to pixels already, and stops when the engine has
decided the first token. In between:

  new image         cutting it into crops, vision, prefix, question, first token
  second question   the question behind the cached prefix, first token

Both kinds alternate, so that whatever else the machine does slows both; the ratio is taken within a round.
Network and page are not in it.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from report import Series, build_report
from subject import Subject, build_parser, noise, run

from dreamscope.engine import wire
from dreamscope.engine.devices.runners import build_runner
from dreamscope.engine.models.base import Model
from dreamscope.engine.runtime.engine import Batches, Engine, EngineRequest
from dreamscope.engine.runtime.images import RawImage
from dreamscope.engine.skills.base import Sampling, SkillRequest

QUESTIONS = ("How many dogs are there?", "How many cats are there?")
SKILLS = ("query",)


def measure(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds, after one that does not count."""
    width, height = options.image
    engine = Engine(subject.model, wire.ModelInfo(subject.name, SKILLS), partial(build_runner, subject.model))
    engine.start()
    try:
        rounds = [_round(engine, subject.model, width, height, i) for i in range(options.rounds + 1)][1:]
    finally:
        engine.shutdown()
    new, again = [pair[0] for pair in rounds], [pair[1] for pair in rounds]
    crops = len(subject.model.crop(noise(width, height, 0)).pixels)
    prefix = subject.model.config.prefix_len
    return build_report(
        "first token",
        subject.describe(),
        {
            "image": f"{width} x {height}",
            "crops": crops,
            "prefix_positions": prefix,
            "question_positions": new[0].input_tokens - prefix,
        },
        [
            Series("new image", "ms", [_known(m.ttft_ms) for m in new]),
            Series("of it: queue and crops", "ms", [_known(m.queue_time_ms) for m in new]),
            Series("of it: vision and prefix", "ms", [_known(m.image_time_ms) for m in new]),
            Series("second question", "ms", [_known(m.ttft_ms) for m in again]),
            Series(
                "new image / second question", "x", [_known(a.ttft_ms) / _known(b.ttft_ms) for a, b in rounds]
            ),
        ],
    )


def ask(engine: Engine, request_id: str, question: str, image: RawImage) -> wire.Metrics:
    """The metrics of a request for one token. Raises `RuntimeError` if it fails."""
    ended = threading.Event()
    last: list[wire.Message] = []

    def deliver(batches: Batches) -> None:
        for _, events in batches:
            if isinstance(events[-1], wire.TERMINAL):
                last.append(events[-1])
                ended.set()

    sampling = Sampling(temperature=0.0, max_tokens=1)
    engine.submit(
        EngineRequest(request_id, SkillRequest("query", sampling, question=question), image), deliver
    )
    ended.wait()
    if not isinstance(last[0], wire.RequestDone):
        raise RuntimeError(f"The engine did not answer: {last[0]}")
    return last[0].metrics


def _round(
    engine: Engine, model: Model, width: int, height: int, index: int
) -> tuple[wire.Metrics, wire.Metrics]:
    """Both questions about image number `index`; checks that the first is new and the second is cached."""
    image = RawImage.of(noise(width, height, index))
    new, again = (ask(engine, f"{index} {question}", question, image) for question in QUESTIONS)
    if new.cached_tokens or again.cached_tokens < model.config.prefix_len:
        raise RuntimeError("The image cache did not do what this benchmark is about.")
    return new, again


def _known(milliseconds: float | None) -> float:
    """A time that a finished request always has."""
    assert milliseconds is not None
    return milliseconds


def size(text: str) -> tuple[int, int]:
    """`640x480` as (width, height)."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = build_parser(__doc__ or "", rounds=7)
    parser.add_argument(
        "--image", type=size, default=(640, 480), metavar="WxH", help="size of the images (640x480)"
    )
    return run(parser, argv, measure)


if __name__ == "__main__":
    sys.exit(main())
