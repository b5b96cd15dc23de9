"""`dreamscope`: the command line. Flags and their help come from the table in `app/config.py`.

dreamscope [up]          the engine and the page
dreamscope web           the page alone
dreamscope ask           one question in the terminal
dreamscope audit         whether the answer of a run follows from what it pointed at
dreamscope chat|doctor|history          what `app/commands/NAME.py` does
dreamscope serve|models|pull|keys|stats   the engine's own commands, flags passed on
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from dreamscope.app.asking import Asked, add_request_flags
from dreamscope.app.commands.examples import EXAMPLES
from dreamscope.app.config import TABLE
from dreamscope.app.supervisor import engine_command
from dreamscope.engine.settings import SettingError, add_flags, load

COMMANDS = {
    "up": "start the engine and the page, and open it in a browser",
    "ask": "ask about one image in the terminal",
    "chat": "ask about an image in turns, as a conversation in the terminal",
    "history": "list, search, show, export and delete the runs that were kept",
    "audit": "check whether the answer of a run follows from what the model pointed at",
    "doctor": "check what this machine has for Dreamscope, and say what to do",
    "serve": "run the engine alone, behind its HTTP API and websocket",
    "models": "list the models, their size, and whether and where they are, on this machine or at endpoints",
    "pull": "download models, go on with a download that was cut off, and check what came",
    "web": "serve the page alone, for an engine that runs already",
    "keys": "make, list and revoke the API keys that servers on this machine ask for",
    "stats": "show how a running server is doing",
}
ENGINE_COMMANDS = ("serve", "models", "pull", "keys", "stats")
MODULES = ("chat", "doctor", "history")
"""Commands with a module of their name in `app/commands`: `add_arguments(parser)` and
`run(options, rest, values, environ)`, which returns the exit status."""
PASSING_ON = ("up", "ask", "chat", "doctor")
"""Commands that give flags which they do not know to the engine."""
USAGE_ERROR = 2
PIPE_CLOSED = 141
"""What the shell reports for a program that the signal of a closed pipe has ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the console script; returns the exit status. Errors are one line on standard error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words.insert(0, "up")
    if words[0] in ENGINE_COMMANDS:
        return run_child(words[0], words[1:])
    options, rest = build_parser(words[0]).parse_known_args(words)
    try:
        status = _run(options, rest, os.environ)
        sys.stdout.flush()
        return status
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:  # whoever read our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return 130


def build_parser(chosen: str = "") -> argparse.ArgumentParser:
    """The parser of all commands; only the arguments of the `chosen` one are needed, and its module loaded.

    The commands of the engine are listed, but parsed by the engine.
    """
    parser = argparse.ArgumentParser(
        "dreamscope",
        description="A playground for looking inside grounded vision-language models.",
        epilog=f"Without a command: up.\n\n{EXAMPLES['']}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        sub = subparsers.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=_epilog(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == "ask":
            add_request_flags(sub)
        if name == "audit":
            sub.add_argument(
                "run", metavar="RUN", help="id of a run in the history or its beginning, or an exported file"
            )
        if name in MODULES and name == chosen:
            _module(name).add_arguments(sub)
        if name not in ENGINE_COMMANDS:
            add_flags(sub, TABLE, name)
    return parser


def run_child(command: str, arguments: Sequence[str]) -> int:
    """Run one engine command in the foreground with its own flags; returns its exit status.

    A polite kill is passed on to it.
    """
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(*_: object) -> None:
        for child in children:
            child.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        children.append(subprocess.Popen(engine_command(command, *arguments)))
        while True:
            try:
                return children[0].wait()
            except KeyboardInterrupt:  # the terminal sent it to the child as well, which stops by itself
                continue
    finally:
        signal.signal(signal.SIGTERM, before)


def _epilog(command: str) -> str | None:
    parts = [EXAMPLES.get(command)]
    if command == "audit":
        parts.append("Exit status: 0 if nothing wants a look, 1 if something does, 2 if RUN cannot be read.")
    if command == "doctor":
        parts.append("Exit status: 0 if nothing fails, 1 if something does.")
    if command in PASSING_ON:
        parts.append("Other flags are passed to the engine; see `dreamscope serve --help`.")
    return "\n\n".join(part for part in parts if part) or None


def _run(options: argparse.Namespace, rest: list[str], environ: Mapping[str, str]) -> int:
    if options.command == "ask" and options.prompt is None and rest and not rest[0].startswith("-"):
        options.prompt = rest.pop(0)  # argparse takes no optional word after a flag that follows IMAGE
    values = load(TABLE, options.command, vars(options), environ)
    runs_engine = options.command in PASSING_ON and not (options.command != "doctor" and values["engine"])
    if rest and not runs_engine:
        raise SettingError(f"{options.command} does not know {rest[0]!r}.")
    if options.command in MODULES:
        status: int = _module(options.command).run(options, rest, values, environ)
        return status
    if options.command == "ask":
        from dreamscope.app.ask import ask

        return asyncio.run(ask(Asked.from_options(options), values, rest))
    if options.command == "audit":
        from dreamscope.app.audit_command import audit_run

        return audit_run(options.run, values, environ)
    from dreamscope.app import up

    return up.web(values, environ, _say) if options.command == "web" else up.up(values, rest, environ, _say)


def _module(command: str) -> Any:
    return import_module(f"dreamscope.app.commands.{command}")


def _say(line: str) -> None:
    print(line, flush=True)
