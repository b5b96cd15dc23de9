"""`dreamscope`: the command line. Flags and their help come from the table in `app/config.py`.

dreamscope [up]          the engine and the page
dreamscope web           the page alone
dreamscope ask           one question in the terminal
dreamscope audit         whether the answer of a run follows from what it pointed at
dreamscope serve|models|pull   the engine's own commands, flags passed on
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from dreamscope.app.asking import Asked, add_request_flags
from dreamscope.app.config import TABLE
from dreamscope.app.supervisor import engine_command
from dreamscope.engine.settings import SettingError, add_flags, load

COMMANDS = {
    "up": "start the engine and the page, and open it in a browser",
    "ask": "ask about one image in the terminal",
    "audit": "check whether the answer of a run follows from what the model pointed at",
    "serve": "run the engine alone, behind its HTTP API and websocket",
    "models": "list the models and whether they are on this machine",
    "pull": "download a model",
    "web": "serve the page alone, for an engine that runs already",
}
ENGINE_COMMANDS = ("serve", "models", "pull")
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
    options, rest = build_parser().parse_known_args(words)
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


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; those of the engine are listed, but parsed by the engine."""
    parser = argparse.ArgumentParser(
        "dreamscope",
        description="A playground for looking inside grounded vision-language models.",
        epilog="Without a command: up.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        sub = subparsers.add_parser(
            name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".", epilog=_epilog(name)
        )
        if name == "ask":
            add_request_flags(sub)
        if name == "audit":
            sub.add_argument(
                "run", metavar="RUN", help="id of a run in the history or its beginning, or an exported file"
            )
        if name not in ENGINE_COMMANDS:
            add_flags(sub, TABLE, name)
    return parser


def run_child(command: str, arguments: Sequence[str]) -> int:
    """Run one engine command in the foreground with its own flags; returns its exit status."""
    child = subprocess.Popen(engine_command(command, *arguments))
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal sent it to the child as well, which stops by itself
            continue


def _epilog(command: str) -> str | None:
    if command == "audit":
        return "Exit status: 0 if nothing wants a look, 1 if something does, 2 if RUN cannot be read."
    if command in ("up", "ask"):
        return "Other flags are passed to the engine that is started; see `dreamscope serve --help`."
    return None


def _run(options: argparse.Namespace, rest: list[str], environ: Mapping[str, str]) -> int:
    if options.command == "ask" and options.prompt is None and rest and not rest[0].startswith("-"):
        options.prompt = rest.pop(0)  # argparse takes no optional word after a flag that follows IMAGE
    values = load(TABLE, options.command, vars(options), environ)
    if rest and (options.command in ("web", "audit") or values["engine"]):
        raise SettingError(f"{options.command} does not know {rest[0]!r}.")
    if options.command == "ask":
        from dreamscope.app.ask import ask

        return asyncio.run(ask(Asked.from_options(options), values, rest))
    if options.command == "audit":
        from dreamscope.app.audit_command import audit_run

        return audit_run(options.run, values, environ)
    from dreamscope.app import up

    return up.web(values, environ, _say) if options.command == "web" else up.up(values, rest, environ, _say)


def _say(line: str) -> None:
    print(line, flush=True)
