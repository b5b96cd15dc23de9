"""What is shipped, and how large the files may get."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("app", "engine", "static", "visualizers")
LINE_LIMIT = 500
SHOWN = 10


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def folders_with_code() -> set[str]:
    """Packages on disk, as `dreamscope.app.ui`."""
    found = {path.parent.relative_to(ROOT) for top in SHIPPED for path in (ROOT / top).rglob("*.py")}
    return {".".join(("dreamscope", *folder.parts)) for folder in found}


def folder_of(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def test_the_package_list_is_what_is_on_disk(project):
    """Editable installs find packages that are not listed, so an omission shows only in a wheel."""
    assert set(project["tool"]["setuptools"]["packages"]) == folders_with_code()


def test_every_package_has_its_init():
    missing = [
        name for name in sorted(folders_with_code()) if not (folder_of(name) / "__init__.py").is_file()
    ]
    assert missing == []


def test_every_top_level_folder_is_mapped(project):
    mapped = project["tool"]["setuptools"]["package-dir"]
    assert mapped == {f"dreamscope.{top}": top for top in SHIPPED}


def test_every_data_file_is_shipped(project):
    data = project["tool"]["setuptools"]["package-data"]
    packages = sorted(project["tool"]["setuptools"]["packages"], key=len, reverse=True)
    left_out = []
    for top in SHIPPED:
        for path in (ROOT / top).rglob("*"):
            relative = path.relative_to(ROOT)
            generated = path.suffix in (".py", ".pyc", ".pyi") or "__pycache__" in relative.parts
            if path.is_dir() or generated:
                continue
            owner = next(name for name in packages if folder_of(name) in path.parents)
            inside = path.relative_to(folder_of(owner)).as_posix()
            if not any(matches(inside, pattern) for pattern in data.get(owner, ())):
                left_out.append(relative.as_posix())
    assert left_out == []


def matches(name: str, pattern: str) -> bool:
    """Like setuptools: a star does not cross a slash."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatch, parts, wanted))


def test_a_star_stays_in_its_folder():
    assert matches("weights/sprite-2/model.safetensors", "weights/*/*")
    assert not matches("weights/model.safetensors", "weights/*/*")
    assert not matches("a/b.js", "*.js")


def test_no_file_is_too_long(capsys):
    counts = []
    for top in (*SHIPPED, "tests", "benchmarks"):
        for path in (ROOT / top).rglob("*.py"):
            with path.open(encoding="utf-8") as lines:
                counts.append((sum(1 for _ in lines), path.relative_to(ROOT).as_posix()))
    counts.sort(reverse=True)
    with capsys.disabled():
        print("\nlargest files:")
        for lines, name in counts[:SHOWN]:
            print(f"{lines:6d}  {name}")
    assert [(lines, name) for lines, name in counts if lines > LINE_LIMIT] == []
