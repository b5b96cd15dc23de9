"""Which processes use a data folder now: each holds a lock on a file of its own, and the system lets go of
it however the process ends. What a session had begun and left is thereby known to be interrupted.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

FOLDER = "sessions"

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes], wait: bool) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes], wait: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            return False
        return True


class Session:
    """This process's presence in a data folder, from when it is made until `close`."""

    def __init__(self, folder: Path, session_id: str) -> None:
        self.id = session_id
        self._path = folder / FOLDER / session_id
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = self._path.open("wb")
        _lock(self._file, wait=True)

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Only one process at a time comes to a folder, so that none is taken for dead while it arrives."""
    with (folder / "opening.lock").open("ab") as file:
        _lock(file, wait=True)
        yield


def living(folder: Path) -> set[str]:
    """Ids of the sessions that are alive; files of dead ones are removed. Only inside `opening`."""
    alive = set()
    for path in (folder / FOLDER).glob("*"):
        with path.open("rb+") as file:
            free = _lock(file, wait=False)
        if free:
            os.unlink(path)
        else:
            alive.add(path.name)
    return alive


def remove_abandoned(base: Path, prefix: str, used: str) -> None:
    """Remove what killed processes left: the folders in `base` that begin with `prefix`, hold the file
    `used`, and have no living session. Those of other people are left alone.
    """
    for folder in base.glob(prefix + "*"):
        with suppress(OSError):  # it went away meanwhile, or cannot be looked into
            if _is_ours(folder) and (folder / used).is_file():
                with opening(folder):
                    alive = living(folder)
                if not alive:
                    shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and (sys.platform == "win32" or facts.st_uid == os.getuid())
