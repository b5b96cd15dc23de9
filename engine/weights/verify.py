"""Whether the files of a model are what was published: every byte, and every tensor in its place.

The download cache keeps a file under its digest: SHA-256 of large files, git's SHA-1 of small ones. The
package tells the digest of its weights beside them. Of a local checkpoint nobody knows one.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from dreamscope.engine.errors import WeightsInvalid
from dreamscope.engine.models.registry import ModelSpec
from dreamscope.engine.weights.hub import ModelFiles, local_files
from dreamscope.engine.weights.load import check_files
from dreamscope.engine.weights.progress import Progress, Report, silent
from dreamscope.engine.weights.revision import SCORES

_GIT, _LARGE = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 22


def verify(spec: ModelSpec, files: ModelFiles, report: Report = silent) -> None:
    """Read every byte of `files`. Raises `WeightsInvalid`; a damaged file of the download cache is removed,
    so that it can be downloaded again.
    """
    for path in local_files(spec):
        check_bytes(path, report)
    check_files(files)


def check_bytes(path: Path, report: Report = silent) -> None:
    """Compare one file with its digest, if that is known. Raises `WeightsInvalid` as `verify` does."""
    place = path.resolve()  # the cache's snapshots are links to files that are named by their digest
    known = _known_digest(place)
    if known is None or _digest(place, len(known), report) == known:
        return
    if place.name != known:
        raise WeightsInvalid(f"{path} is damaged. Install Dreamscope again.")
    path.unlink()
    place.unlink(missing_ok=True)
    raise WeightsInvalid(f"{path.name} arrived damaged and was removed. Run the same command again.")


def _known_digest(place: Path) -> str | None:
    if _LARGE.fullmatch(place.name) or _GIT.fullmatch(place.name):
        return place.name
    scores = place.parent / SCORES
    if place.suffix == ".safetensors" and scores.is_file():
        digest: str | None = json.loads(scores.read_text(encoding="utf-8")).get("weights_sha256")
        return digest
    return None


def _digest(place: Path, length: int, report: Report) -> str:
    """SHA-256 (64 digits) or git's SHA-1 of a blob (40)."""
    total, done = place.stat().st_size, 0
    if length == 64:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {total}\0".encode(), usedforsecurity=False)
    with place.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(Progress("read", f"Checking {place.name[:12]}", done, total))
    return digest.hexdigest()
