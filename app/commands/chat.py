"""`dreamscope chat`: questions about an image in turns, answered as they are written.

The main thread reads lines and takes Ctrl-C; the connection lives in the event loop of another thread, where
it goes on while nobody types.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from typing import Any, TypeVar

from dreamscope.app.ask import Failed, progress_teller, read_image, wants_ansi
from dreamscope.app.client import EngineGone, EngineRefused
from dreamscope.app.commands.examples import EXAMPLES
from dreamscope.app.commands.model_choice import chosen, listing
from dreamscope.app.commands.typed import Typed, request_of, typed
from dreamscope.app.conversation import Conversation
from dreamscope.app.engine_of import check_engine, engine_of
from dreamscope.app.supervisor import EngineFailed
from dreamscope.app.terminal import Terminal
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError, Values
from dreamscope.visualizers.words import metrics_line

PROMPT = "> "
_TROUBLES = (SettingError, Failed, EngineGone, EngineRefused)
T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], "Future[T]"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The image."""
    parser.add_argument("image", metavar="IMAGE", help="a JPEG, PNG, WebP or GIF file")


def run(options: argparse.Namespace, rest: Sequence[str], values: Values, environ: Mapping[str, str]) -> int:
    """Talk until the input ends; returns 1 if a line of a pipe could not be answered.

    Raises `SettingError` for an image or a setting that cannot be used.
    """
    check_engine(values)
    image = read_image(options.image)
    with _loop() as start:
        opened = AsyncExitStack()
        try:
            engine = start(opened.enter_async_context(engine_of(values, rest))).result()
            chat = Conversation(engine, image)
            opened.push_async_callback(chat.close)
            return _Talk(chat, values, start).until_end()
        except EngineFailed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            start(opened.aclose()).result()


class _Talk:
    """The lines of one session, from a person or a pipe."""

    def __init__(self, chat: Conversation, values: Values, start: Run[Any]) -> None:
        self._chat, self._values, self._start = chat, values, start
        self._person = sys.stdin.isatty() and sys.stdout.isatty()
        self._failed = False

    def until_end(self) -> int:
        """Answer line after line; the exit status."""
        if self._person:
            print("Ask about the image. /help says what else there is; Ctrl-D ends.")
        while True:
            try:
                line = self._line()
            except KeyboardInterrupt:  # at the prompt it clears the line, as in a shell
                print()
                continue
            if line is None:
                return int(self._failed and not self._person)
            try:
                self._take(typed(line))
            except _TROUBLES as error:
                self._failed = True
                print(f"error: {error}", file=sys.stderr)

    def _line(self) -> str | None:
        """The next line; `None` at the end."""
        if not self._person:
            return sys.stdin.readline() or None
        try:
            return input(PROMPT)
        except EOFError:
            print()
            return None

    def _take(self, line: Typed) -> None:
        match line.command:
            case "":
                return
            case "help":
                print(EXAMPLES["chat"].partition("\n\n")[2])
            case "new":
                self._start(self._chat.begin_anew()).result()
                print("What was said is forgotten.")
            case "model":
                self._model(line.text)
            case "image":
                self._start(self._chat.begin_anew(read_image(line.text))).result()
                print(f"Now about {line.text}.")
            case _:
                self._ask(request_of(line, self._chat.said, self._values))

    def _model(self, name: str) -> None:
        """List the models, or ask that one from now on."""
        models = self._start(self._chat.models()).result()
        if name:
            self._chat.model = chosen(name, models)
            print(f"Now with {self._chat.model}.")
            return
        explicit = self._values["engine"] and "model" in self._values.explicit
        asked = self._values["model"] if explicit else None
        print(listing(models, self._chat.model or asked), end="")

    def _ask(self, create: wire.RequestCreate) -> None:
        """Stream one answer. Ctrl-C stops it, and what was said of it stays on the screen."""
        terminal = Terminal(sys.stdout, wants_ansi(sys.stdout.isatty(), os.environ))
        tell = progress_teller()

        def show(message: wire.Message) -> None:
            tell(message)
            terminal.feed(message)

        answer = self._start(self._chat.ask(create, show))
        stopped = False
        while True:
            try:
                done = answer.result()
                break
            except KeyboardInterrupt:
                stopped = True
                self._start(self._chat.stop())
            except _TROUBLES:
                terminal.finish(False, create.skill)
                if not stopped:
                    raise
                print("Stopped.", file=sys.stderr)
                return
        terminal.finish(True, create.skill)
        if self._person:
            print(metrics_line(done.metrics), file=sys.stderr)


@contextmanager
def _loop() -> Iterator[Run[Any]]:
    """An event loop in a thread of its own; yields what starts work in it, and ends that at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="chat")
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop)
    finally:
        asyncio.run_coroutine_threadsafe(_end_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
