"""`python -m dreamscope.engine`: serve a model, list the models, fetch one."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from dreamscope.engine.config import SETTINGS
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.settings import SettingError, Values, add_flags, load

COMMANDS = {
    "serve": "run models behind Moondream's and OpenAI's HTTP API and a websocket",
    "models": "list the known models and whether they are on this machine",
    "pull": "download a model",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser; flags and their help come from the table of settings."""
    parser = argparse.ArgumentParser("python -m dreamscope.engine", description="The Dreamscope engine.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
        if name == "models":
            sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
        if name == "pull":
            sub.add_argument("name", help="a name from `models`", metavar="NAME")
        add_flags(sub, SETTINGS, name)
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; returns the exit status. Errors go to standard error, one line, the cause last."""
    options = build_parser().parse_args(arguments)
    try:
        values = load(SETTINGS, options.command, vars(options), environ)
        logging.basicConfig(level=values["log_level"].upper(), format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("httpcore").setLevel(logging.WARNING)  # it writes down the headers of endpoints
        return _run(options, values)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except DreamscopeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 1


def run() -> None:
    """Entry of `python -m`."""
    sys.exit(main(sys.argv[1:], os.environ))


def _run(options: argparse.Namespace, values: Values) -> int:
    # Imported where needed: the model code takes seconds to import, and a server listens before that.
    if options.command == "serve":
        return _serve(values)
    from dreamscope.engine.catalog import print_models, pull
    from dreamscope.engine.weights.progress import console

    if options.command == "models":
        print_models(sys.stdout, options.json, values["models_dir"])
    else:
        pull(options.name, console(sys.stderr), sys.stdout)
    return 0


def _serve(values: Values) -> int:
    from dreamscope.engine.server.process import serve
    from dreamscope.engine.server.stock import build_shelf

    return serve(values, build_shelf(values))
