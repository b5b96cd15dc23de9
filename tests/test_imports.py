"""The arrows between the packages: who may import whom, and what a leaf may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("app", "engine", "static", "visualizers")

# Who may import what. A name covers what is below it; the longest one that covers a module is its row.
LEAVES = (
    "engine.codec",
    "engine.events",
    "engine.facts",
    "engine.messages",
    "engine.results",
    "engine.traces",
    "engine.wire",
)
BASE = (*LEAVES, "engine.errors", "engine.prices")
DEVICES = (*BASE, "engine.devices")
MODELS = (*DEVICES, "engine.models")
WEIGHTS = (*MODELS, "engine.weights")
SKILLS = (*MODELS, "engine.skills")
RUNTIME = (*WEIGHTS, "engine.skills", "engine.runtime")
ASKED = ("engine.skills.base", "engine.runtime.images", "engine.runtime.job")  # what a request is made of
ALLOWED: dict[str, tuple[str, ...]] = {
    "engine": (),
    "engine.codec": (),
    "engine.facts": (),
    "engine.settings": (),
    "engine.results": ("engine.codec",),
    "engine.messages": ("engine.facts", "engine.results"),
    "engine.events": ("engine.facts", "engine.messages", "engine.results"),
    "engine.traces": ("engine.messages",),
    "engine.wire": LEAVES,
    "engine.errors": ("engine.wire",),
    "engine.prices": ("engine.wire",),
    "engine.config": ("engine.settings",),
    "engine.devices": DEVICES,
    "engine.models": MODELS,
    "engine.weights": WEIGHTS,
    "engine.skills": SKILLS,
    "engine.runtime": RUNTIME,
    "engine.remote": (*BASE, *ASKED, "engine.remote", "engine.settings"),
    "engine.server": (*RUNTIME, "engine.remote", "engine.server", "engine.settings", "engine.config"),
    "engine.verify": (*RUNTIME, "engine.verify"),
    "engine.sprite": (*RUNTIME, "engine.sprite"),
    "engine.logs": (),
    "engine.keys_command": ("engine.server.charges", "engine.server.keystore", "engine.settings"),
    "engine.stats_command": ("engine.settings",),
    "engine.doctor": ("engine.devices", "engine.models", "engine.weights", "engine.errors", "engine.config"),
    "engine.catalog": ("engine.models", "engine.weights", "engine.errors", "engine.remote"),
    "engine.cli": ("engine",),
    "engine.__main__": ("engine.cli",),
    "visualizers": ("engine.wire", "visualizers"),
    "app": ("engine.wire", "engine.settings", "visualizers", "static", "app"),
    "static": (),
}

# Heavy or special libraries, and the only places that may name them.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "torch": ("engine.devices", "engine.weights", "engine.sprite"),
    "triton": ("engine.devices",),
    "mlx": ("engine.devices",),
    "llguidance": ("engine.skills.grammar",),
    "gradio": ("app",),
    "fastapi": ("app",),
    "uvicorn": ("app", "engine.server"),
    "starlette": ("app", "engine.server"),
    "huggingface_hub": ("engine.weights",),
    "httpx": ("app", "engine.remote", "engine.weights"),
    "svgwrite": ("visualizers",),
    "scipy": ("visualizers",),
    "sqlite_utils": ("app.store",),
}
ACCOUNTS = ("engine.server.keystore", "engine.server.charges")
STDLIB_ONLY = (*BASE, "engine.settings", "engine.config", "engine.logs", *ACCOUNTS)


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours: dotted name below `dreamscope`, and its file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(source: str) -> Iterator[str]:
    """Every module that the source imports, wherever in it; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the arrows"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def covers(name: str, module: str) -> bool:
    return module == name or module.startswith(name + ".")


def violations(module: str, source: str, known: set[str]) -> list[str]:
    """What is wrong with the imports of one module."""
    row = max((name for name in ALLOWED if covers(name, module)), key=len)
    if row == "engine" and module != "engine":
        return [f"{module} is in no row of the table"]
    found = []
    for name in imported(source):
        top = name.partition(".")[0]
        if top == "dreamscope":
            target = name.partition(".")[2]
            ours = target in known and target not in PACKAGES  # an empty package root is no arrow
            if ours and not any(covers(allowed, target) for allowed in ALLOWED[row]):
                found.append(f"{module} imports {target}")
            continue
        if top in PACKAGES:
            found.append(f"{module} imports {name} without dreamscope")
        if top in LIBRARIES and not any(covers(place, module) for place in LIBRARIES[top]):
            found.append(f"{module} imports {top}")
        if module in STDLIB_ONLY and top not in sys.stdlib_module_names:
            found.append(f"{module} imports {top}, which is not in the standard library")
    return found


ALL = dict(modules())


@pytest.mark.parametrize("module", ALL)
def test_imports_follow_the_arrows(module):
    assert violations(module, ALL[module].read_text(encoding="utf-8"), set(ALL)) == []


def test_package_roots_are_empty():
    for package in PACKAGES:
        tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
        code = [node for node in tree.body if not isinstance(node, ast.Expr)]
        assert code == [], f"{package}/__init__.py must hold no code: importing wire would run it"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app.main", "from dreamscope.engine import errors"),
        ("app.main", "import dreamscope.engine.config"),
        ("app.main", "from dreamscope.engine.runtime.engine import Engine"),
        ("app.main", "import torch"),
        ("app.main", "from engine import wire"),
        ("visualizers.spans", "import gradio as gr"),
        ("visualizers.spans", "from dreamscope.engine import settings"),
        ("visualizers.spans", "from dreamscope.app import config"),
        ("engine.models.text", "import torch.nn"),
        ("engine.models.text", "from dreamscope.engine.skills.base import Skill"),
        ("engine.models.text", "from dreamscope.engine.weights import load"),
        ("engine.skills.query", "def f():\n    from dreamscope.engine.runtime import engine"),
        ("engine.runtime.engine", "from dreamscope.engine.server import app"),
        ("engine.sprite.train", "from dreamscope.engine.server.app import build_app"),
        ("engine.server.ws", "import dreamscope.app.config"),
        ("engine.server.ws", "if TYPE_CHECKING:\n    from dreamscope.app.config import X"),
        ("engine.wire", "import numpy"),
        ("engine.settings", "from dreamscope.engine import wire"),
        ("engine.newcomer", ""),
    ],
)
def test_a_wrong_arrow_is_found(module, source):
    known = {*ALL, "engine.server.app", "app.config", "engine.runtime.engine", "engine.weights.load"}
    assert violations(module, source, known)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("app.main", "from dreamscope.engine import wire\nimport gradio, json"),
        ("app.main", "from dreamscope.engine.settings import load"),
        ("visualizers.spans", "from dreamscope.engine.wire import Ground\nimport svgwrite"),
        ("engine.server.ws", "from dreamscope.engine.runtime.engine import Engine"),
        ("engine.devices.cpu", "import torch"),
    ],
)
def test_a_right_arrow_is_not(module, source):
    assert violations(module, source, set(ALL)) == []


def loaded_by(*names: str) -> set[str]:
    """Top-level modules that importing these adds to a fresh interpreter."""
    code = (
        "import importlib, sys\nbefore = set(sys.modules)\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert printed.returncode == 0, printed.stderr
    return set(printed.stdout.split())


@pytest.mark.parametrize("leaf", ["engine.wire", "engine.settings", "engine.errors", "engine.config"])
def test_a_leaf_loads_the_standard_library_alone(leaf):
    assert loaded_by(f"dreamscope.{leaf}") - set(sys.stdlib_module_names) == {"dreamscope"}


def test_visualizers_load_neither_torch_nor_gradio():
    names = [f"dreamscope.{module}" for module in ALL if covers("visualizers", module)]
    loaded = loaded_by(*names)
    assert "dreamscope" in loaded
    assert not loaded & {"torch", "gradio", "fastapi", "starlette", "uvicorn"}


def test_the_server_listens_before_torch_is_loaded():
    assert "torch" not in loaded_by("dreamscope.engine.cli", "dreamscope.engine.server.process")
