"""Modules of `static/` as one script without imports, for pages that carry all they need.

Each module becomes a function that gives what it exports, so their inner names never meet.
"""

from __future__ import annotations

import re
from importlib.resources import files

_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_ANY = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)


def bundle(entry: str) -> str:
    """The module `entry` with all it imports, in order. Raises `ValueError` for a form of import or export
    that is not understood: `import { a, b } from "./x.js";` and `export function|class|const` are.
    """
    written: dict[str, str] = {}
    _add(entry, written, ())
    return '"use strict";\n' + "".join(written.values())


def static_text(name: str) -> str:
    """The text of one file of `static/`."""
    return files("dreamscope.static").joinpath(name).read_text("utf-8")


def _add(name: str, written: dict[str, str], above: tuple[str, ...]) -> None:
    if name in above:
        raise ValueError(f"{name} imports itself by way of {', '.join(above)}.")
    if name in written:
        return
    source = _COMMENT.sub("", static_text(name))
    imports = _IMPORT.findall(source)
    for _, module in imports:
        _add(module, written, (*above, name))
    exports = _EXPORT.findall(source)
    body = _EXPORT.sub("", _IMPORT.sub("", source))
    if strange := _ANY.search(body):
        raise ValueError(f"{name}: {strange.group()!r} cannot be bundled.")
    known = "".join(f"const {{ {names} }} = {_variable(module)};\n" for names, module in imports)
    given = f"return {{ {', '.join(exports)} }};\n" if exports else ""
    written[name] = f"const {_variable(name)} = (() => {{\n{known}{body}{given}}})();\n"


def _variable(module: str) -> str:
    return "module_" + re.sub(r"\W", "_", module.removesuffix(".js"))
