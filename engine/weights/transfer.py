"""Downloads into the cache of huggingface_hub that go on where an earlier one stopped, however that ended.

The library itself begins a file anew in every process. So what is missing is fetched here, into
`blobs/DIGEST.partial` beside where the library keeps the file; when it is whole it takes its place, and the
library finds it there.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import httpx2
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock
from tqdm.auto import tqdm

from dreamscope.engine.models.registry import HubFile

UNREACHABLE = (httpx.TransportError, httpx2.TransportError)
"""What is raised where the hub does not answer; the library speaks HTTP through either, by its version."""


def transfer(file: HubFile, bar: type[tqdm]) -> None:
    """Bring the content of `file` into the cache, `bar` telling how far it is.

    Nothing happens for a file whose size or digest the hub does not tell: the library downloads it. Raises
    what the library raises.
    """
    url = huggingface_hub.hf_hub_url(file.repo, file.filename, revision=file.revision)
    known = huggingface_hub.get_hf_file_metadata(url)
    if known.etag is None or known.size is None:
        return
    repository = repo_folder_name(repo_id=file.repo, repo_type="model")
    whole = Path(constants.HF_HUB_CACHE) / repository / "blobs" / known.etag
    whole.parent.mkdir(parents=True, exist_ok=True)
    partial = whole.with_name(f"{known.etag}.partial")
    with WeakFileLock(partial.with_name(f"{partial.name}.lock")):
        if whole.exists():
            return
        with partial.open("ab") as out:
            if out.tell() > known.size:
                out.truncate(0)
            http_get(
                known.location,
                out,
                resume_size=out.tell(),
                headers=_headers(url, known.location),
                expected_size=known.size,
                tqdm_class=bar,
            )
        partial.replace(whole)


def _headers(url: str, location: str) -> dict[str, str]:
    """The headers of a request to the hub; its token goes to no other host."""
    headers = dict(huggingface_hub.utils.build_hf_headers())
    if urlsplit(url).netloc != urlsplit(location).netloc:
        headers.pop("authorization", None)
    return headers
