"""`dreamscope history`: the runs that were kept, in the terminal."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from dreamscope.app.kept import find_run, history_folder, kept_history
from dreamscope.app.store.kinds import MOST_AT_ONCE, PAGE_SIZE, Search, Summary
from dreamscope.app.store.store import Store
from dreamscope.engine.settings import SettingError, Values
from dreamscope.visualizers import facts, record_json, words
from dreamscope.visualizers.escape import clean
from dreamscope.visualizers.exports.formats import FORMATS
from dreamscope.visualizers.exports.things import ExportError
from dreamscope.visualizers.record import Record

ACTIONS = ("list", "search", "show", "export", "delete", "restore")
EVERYTHING = "everything"
_OWN = ".dreamscope"
_FILTERS = ("skill", "model", "tag", "state", "since", "until")
_SHORT_ID = 8
_LEAST_WIDTH = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action, what it is about, and what restricts a list."""
    parser.add_argument("action", metavar="ACTION", nargs="?", help="list (the default), " + _others())
    parser.add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        help="search: words; show and delete: ids of runs, or their beginnings; export: RUN and FILE, which "
        f"ends in {_OWN} (with its image, for another Dreamscope) or one of {', '.join(FORMATS)}; "
        f"restore: the word that delete has said; delete {EVERYTHING}: runs, images and links, for good",
    )
    for name in _FILTERS:
        when = name in ("since", "until")
        parser.add_argument(
            f"--{name}",
            metavar="DAY" if when else name.upper(),
            default="",
            help=f"list, search: only runs {name} this day, like 2026-03-01, in UTC"
            if when
            else f"list, search: only runs of this {name}",
        )
    parser.add_argument("--pinned", action="store_true", help="list, search: only pinned runs")
    parser.add_argument(
        "--limit", metavar="N", default=str(PAGE_SIZE), help=f"list, search: at most [default: {PAGE_SIZE}]"
    )
    parser.add_argument("--yes", action="store_true", help=f"delete {EVERYTHING} without being asked")


def run(options: argparse.Namespace, rest: Sequence[str], values: Values, environ: Mapping[str, str]) -> int:
    """Do what was asked; returns the exit status. Raises `SettingError`."""
    action, given = options.action or "list", tuple(options.words)
    if action not in ACTIONS:
        raise SettingError(f"history has no {action!r:.40}; it has {', '.join(ACTIONS)}.")
    with kept_history(history_folder(values, environ)) as store:
        match action, given:
            case "list", ():
                return _list(store, options, "", values["json"])
            case "search", (_, *_):
                return _list(store, options, " ".join(given), values["json"])
            case "show", (run_id,):
                return _show(_found(store, run_id), values["json"])
            case "export", (run_id, file):
                return _export(store, _found(store, run_id), file)
            case "delete", (word,) if word == EVERYTHING:
                return _clear(store, options.yes)
            case "delete", (_, *_):
                return _delete(store, given)
            case "restore", (token,):
                return _restore(store, token)
    raise SettingError(f"history {action} needs {_NEEDS[action]}.")


_NEEDS = {
    "list": "nothing but flags; to find words, use search",
    "search": "the words to look for",
    "show": "one run",
    "export": "a run and the name of a file",
    "delete": f"runs, or {EVERYTHING}",
    "restore": "the word that delete has said",
}


def _others() -> str:
    return ", ".join(ACTIONS[1:-1]) + f" or {ACTIONS[-1]}"


def _found(store: Store, run_id: str) -> Record:
    record = find_run(store, run_id)
    if record is None:
        raise SettingError(f"{run_id}: no run of the history has an id that begins with that.")
    return record


def _list(store: Store, options: argparse.Namespace, text: str, as_json: bool) -> int:
    if not options.limit.isdecimal() or not 1 <= int(options.limit) <= MOST_AT_ONCE:
        raise SettingError(f"--limit: {options.limit!r} is not a whole number from 1 to {MOST_AT_ONCE}.")
    restricting = {name: getattr(options, name) for name in _FILTERS}
    pinned = True if options.pinned else None
    found = store.search(Search(text=text, pinned=pinned, limit=int(options.limit), **restricting))
    if as_json:
        print(json.dumps([asdict(summary) for summary in found.runs], indent=2))
        return 0
    width = max(shutil.get_terminal_size().columns, _LEAST_WIDTH)
    for summary in found.runs:
        print(_row(summary)[:width] if sys.stdout.isatty() else _row(summary))
    older = found.total - len(found.runs)
    more = f", {older} older ones not shown; --limit shows more" if older else ""
    print(f"{found.total} run{'' if found.total == 1 else 's'}{more}.", file=sys.stderr)
    return 0


def _row(run: Summary) -> str:
    """`3b1085ac  2026-03-01 10:20  done  query  sprite-2  How many dogs? → Three.`"""
    when = run.created_at[:16].replace("T", " ")
    said = " ".join(f"{run.title or run.prompt or run.skill} → {run.answer}".split())
    pin = "*" if run.pinned else " "
    shown = f"{run.id[:_SHORT_ID]}{pin} {when}  {run.state:<11} {run.skill:<7} {run.model:<18} {said}"
    return clean(shown)


def _show(record: Record, as_json: bool) -> int:
    if as_json:
        print(json.dumps(record_json.to_json(record), indent=2))
        return 0
    metrics = record.parts[0].metrics
    rows = [
        ("Run", record.id),
        ("Asked", facts.question(record)),
        *facts.facts(record),
        ("State", record.state),
        ("Title", record.title),
        ("Tags", ", ".join(record.tags)),
        ("Notes", record.notes),
        ("Measured", words.metrics_line(metrics) if metrics else ""),
        ("Error", "; ".join(part.error.message for part in record.parts if part.error)),
        ("Answer", facts.answer(record)),
    ]
    for name, said in rows:
        if said:
            print(clean(f"{name:<9} {' '.join(said.split())}"))
    return 0


def _export(store: Store, record: Record, name: str) -> int:
    data = _file_of(store, record, name)
    try:
        Path(name).write_bytes(data)
    except OSError as error:
        raise SettingError(f"{name}: {error.strerror}.") from None
    print(f"{name}: {len(data):,} bytes.", file=sys.stderr)
    return 0


def _file_of(store: Store, record: Record, name: str) -> bytes:
    """The run as the kind of file that `name` ends in. Raises `SettingError`."""
    if name.endswith(_OWN):
        packed = store.export_run(record.id)
        assert packed is not None, "it was just found"
        return packed
    made = next((made for ending, made in FORMATS.items() if name.endswith(ending)), None)
    if made is None:
        raise SettingError(f"{name}: the name must end in {_OWN} or {', '.join(FORMATS)}.")
    image = store.image(record.picture.hash) if record.picture else None
    if made.needs_image and record.picture and image is None:
        raise SettingError(f"{name}: the image of this run is not kept any more.")
    try:
        return made.make(record, image.data if image else b"")
    except ExportError as error:
        raise SettingError(f"{name}: {error}") from None


def _delete(store: Store, given: Sequence[str]) -> int:
    records = [_found(store, run_id) for run_id in given]
    token = store.delete(dict.fromkeys(record.id for record in records))
    for record in records:
        print(clean(f"Deleted {record.id[:_SHORT_ID]}: {facts.question(record):.80}"))
    print(f"For ten minutes `dreamscope history restore {token}` brings it back.", file=sys.stderr)
    return 0


def _restore(store: Store, token: str) -> int:
    restored = store.restore(token)
    if not restored:
        raise SettingError(f"{token}: nothing to restore; what was deleted is gone after ten minutes.")
    print(f"Restored {', '.join(run_id[:_SHORT_ID] for run_id in restored)}.")
    return 0


def _clear(store: Store, sure: bool) -> int:
    if not sure:
        if not sys.stdin.isatty():
            raise SettingError(f"delete {EVERYTHING} cannot be undone; add --yes.")
        kept = store.storage()
        question = f"Delete {kept.runs} runs and {kept.images} images for good? Write yes: "
        if input(question).strip().lower() != "yes":
            print("Nothing was deleted.")
            return 1
    store.clear()
    print("The history is empty.")
    return 0
