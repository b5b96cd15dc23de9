"""`python -m dreamscope.engine`: serve models, list and fetch them; what the operator of a server needs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from dreamscope.engine import keys_command, logs, stats_command
from dreamscope.engine.config import SETTINGS
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.settings import SettingError, Values, add_flags, data_folder, load

COMMANDS = {
    "serve": "run models behind Moondream's and OpenAI's HTTP API and a websocket",
    "models": "list the models, their size, and whether and where they are, on this machine or at endpoints",
    "pull": "download models, go on with a download that was cut off, and check what came",
    "doctor": "tell as JSON what this machine has for running a model",
    "keys": "make, list and revoke the API keys that servers on this machine ask for",
    "stats": "show how a running server is doing",
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
            sub.add_argument("names", nargs="+", help="names from `models`", metavar="NAME")
        if name == "stats":
            stats_command.add_flags(sub)
        for each in keys_command.add_actions(sub) if name == "keys" else [sub]:
            add_flags(each, SETTINGS, name)
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; returns the exit status. Errors go to standard error, one line, the cause last."""
    options = build_parser().parse_args(arguments)
    try:
        values = load(SETTINGS, options.command, vars(options), environ)
        private = options.command == "serve" and not values["retention"]
        logs.configure(values["log_level"], values["log_format"], private)
        return _run(options, values, environ)
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (DreamscopeError, stats_command.NoAnswer) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run() -> None:
    """Entry of `python -m`."""
    sys.exit(main(sys.argv[1:], os.environ))


def _run(options: argparse.Namespace, values: Values, environ: Mapping[str, str]) -> int:
    # Imported where needed: the model code takes seconds to import, and a server listens before that.
    if options.command == "serve":
        return _serve(values)
    if options.command == "keys":
        keys_command.run(options, values["data"] or data_folder(environ), sys.stdout)
        return 0
    if options.command == "stats":
        stats_command.run(options, next(iter(values["api_key"]), None), sys.stdout)
        return 0
    if options.command == "doctor":
        from dreamscope.engine.doctor import doctor

        settings = (values[name] for name in ("model", "device", "dtype", "port", "models_dir"))
        doctor(sys.stdout, *settings)
        return 0
    from dreamscope.engine.catalog import print_models, pull
    from dreamscope.engine.weights.progress import console

    if options.command == "models":
        from dreamscope.engine.remote.endpoints import configured_endpoints

        endpoints = configured_endpoints(values["endpoint"], values["endpoint_key"], values["endpoints"])
        print_models(sys.stdout, options.json, values["models_dir"], endpoints)
    else:
        pull(options.names, console(sys.stderr), sys.stdout)
    return 0


def _serve(values: Values) -> int:
    from dreamscope.engine.server.process import serve
    from dreamscope.engine.server.stock import build_shelf

    return serve(values, build_shelf(values))
