"""The adapters of a folder: which there are, and the few that are in memory.

    FOLDER/NAME/STEP.safetensors or .pt     the adapter NAME@STEP
    FOLDER/NAME/final.safetensors or .pt    the adapter NAME

which is also how the model's own code keeps what it downloads. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamscope.engine.errors import AdapterNotFound
from dreamscope.engine.models.lora import Adapter

CAPACITY = 5
SUFFIXES = (".safetensors", ".pt")
FINAL = "final"
LISTED = 20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_STEP = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True, order=True)
class AdapterId:
    """`name@step`, or `name` alone for one without steps."""

    name: str
    step: str | None = None

    def __str__(self) -> str:
        return self.name if self.step is None else f"{self.name}@{self.step}"

    @classmethod
    def parse(cls, text: str, param: str = "model") -> AdapterId:
        """From `NAME@STEP`, the older `NAME/STEP`, or `NAME`. Raises `AdapterNotFound` for anything else."""
        name, separator, step = text.partition("@" if "@" in text else "/")
        if not _NAME.fullmatch(name) or (separator and not _STEP.fullmatch(step)):
            raise AdapterNotFound(
                f"{text!r:.80} names no adapter: an id is NAME@STEP with a decimal step, or NAME.", param
            )
        return cls(name, step if separator else None)


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """One entry of the list; `nbytes` is the size of its file."""

    key: AdapterId
    loaded: bool
    nbytes: int

    @property
    def id(self) -> str:
        """As requests name it."""
        return str(self.key)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells one version of a file from another."""

    path: Path
    modified: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Loaded:
    adapter: Adapter
    stamp: _Stamp | None


def _load_nothing(path: Path) -> Adapter:
    raise AdapterNotFound(f"Nothing here can load the adapter {path}.", "model")


class AdapterRegistry:
    """Loads adapters when they are asked for; the least recently used make room. Any thread.

    `load` turns a file into an adapter of the one model and runs on the thread that calls `get`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        load: Callable[[Path], Adapter] = _load_nothing,
        capacity: int = CAPACITY,
    ) -> None:
        """`folder`: where the files are; `None` if there are no adapters."""
        self._folder = folder
        self._load = load
        self._capacity = capacity
        self._lock = threading.Lock()
        self._loaded: OrderedDict[AdapterId, _Loaded] = OrderedDict()

    def list(self) -> tuple[AdapterInfo, ...]:
        """Every adapter of the folder, by name and step."""
        with self._lock:
            loaded = set(self._loaded)
        found = ((key, _stamp(path)) for key, path in self._files())
        return tuple(AdapterInfo(key, key in loaded, stamp.nbytes) for key, stamp in found if stamp)

    def find(self, adapter_id: AdapterId, param: str = "model") -> Path:
        """Its file. Raises `AdapterNotFound` naming those that exist."""
        path = self._path(adapter_id)
        if path is not None:
            return path
        if self._folder is None:
            raise AdapterNotFound(
                f"No adapter {adapter_id}: this server was started without a folder of adapters.", param
            )
        known = [str(key) for key, _ in self._files()]
        more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
        there = f"there are {', '.join(known[:LISTED])}{more}" if known else "the folder holds none"
        raise AdapterNotFound(f"No adapter {adapter_id}; {there}.", param)

    def peek(self, adapter_id: AdapterId) -> Adapter | None:
        """The adapter if it is in memory as its file is now; reads no weights."""
        path = self._path(adapter_id)
        with self._lock:
            entry = self._loaded.get(adapter_id)
        if entry is None or path is None or entry.stamp != _stamp(path):
            return None
        return entry.adapter

    def get(self, adapter_id: AdapterId) -> Adapter:
        """The adapter, loaded if it is not in memory or its file has changed.

        Raises `AdapterNotFound`, or `AdapterInvalid` saying what does not fit the model.
        """
        self._drop_stale()
        adapter = self.peek(adapter_id)
        if adapter is None:
            path = self.find(adapter_id)
            stamp = _stamp(path)
            adapter = self._load(path)
            with self._lock:
                self._loaded[adapter_id] = _Loaded(adapter, stamp)
        with self._lock:
            if adapter_id in self._loaded:
                self._loaded.move_to_end(adapter_id)
            while len(self._loaded) > self._capacity:
                self._loaded.popitem(last=False)
        return adapter

    def unload(self, adapter_id: AdapterId) -> bool:
        """Drop it from memory; true if it was there. A request that uses it keeps it until it ends."""
        with self._lock:
            return self._loaded.pop(adapter_id, None) is not None

    def _drop_stale(self) -> None:
        """Forget what is no longer as its file is, or has none any more."""
        with self._lock:
            loaded = dict(self._loaded)
        for adapter_id, entry in loaded.items():
            path = self._path(adapter_id)
            if path is None or entry.stamp != _stamp(path):
                self.unload(adapter_id)

    def _path(self, adapter_id: AdapterId) -> Path | None:
        if self._folder is None:
            return None
        stem = self._folder / adapter_id.name / (adapter_id.step or FINAL)
        candidates = (stem.with_name(stem.name + suffix) for suffix in SUFFIXES)
        return next((path for path in candidates if path.is_file()), None)

    def _files(self) -> Iterator[tuple[AdapterId, Path]]:
        folder = self._folder
        if folder is None or not folder.is_dir():
            return
        ids = {
            AdapterId(path.parent.name, None if path.stem == FINAL else path.stem)
            for path in folder.glob("*/*")
            if path.suffix in SUFFIXES
            and _NAME.fullmatch(path.parent.name)
            and (path.stem == FINAL or _STEP.fullmatch(path.stem))
        }
        for key in sorted(ids, key=lambda each: (each.name, int(each.step or 0))):
            path = self._path(key)
            if path is not None:
                yield key, path


def _stamp(path: Path) -> _Stamp | None:
    """`None` if the file has just gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return _Stamp(path, facts.st_mtime_ns, facts.st_size)
