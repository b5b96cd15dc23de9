"""Endpoints: servers elsewhere whose models are offered beside those of this machine.

    --endpoint cloud=https://api.moondream.ai/v1 --endpoint-key cloud=env:MOONDREAM_API_KEY

or, with everything that can be said about one, a TOML file (`--endpoints FILE`), one table for each:

    [cloud]
    url = "https://api.moondream.ai/v1"
    key = "env:MOONDREAM_API_KEY"                 # or file:PATH; the key itself has no place here
    kind = "moondream"                            # or openai; without it the endpoint is asked
    models = ["moondream3-preview"]               # without them the endpoint is asked
    skills = ["query", "caption"]                 # of models that do not tell theirs
    price = { input = 0.30, output = 2.50 }       # US dollars per million tokens
    timeout = 60                                  # seconds of silence
    concurrency = 4                               # requests at a time, per model

Nothing here contacts anybody. Every error is a `SettingError`, and none of them quotes a value that might be
a key.
"""

from __future__ import annotations

import ipaddress
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from dreamscope.engine import wire
from dreamscope.engine.remote.key import KeySource
from dreamscope.engine.settings import SettingError

KINDS = ("moondream", "openai")
CLOUD_HOST = "api.moondream.ai"
CLOUD_MODELS = ("moondream3-preview", "moondream3.1-9B-A2B")
"""What Moondream Cloud lists on its page of prices, so that it need not be asked."""
SKILLS = ("query", "caption", "point", "detect", "segment", "chat")
KIND_SKILLS: Mapping[str, tuple[str, ...]] = {"moondream": SKILLS, "openai": ("query", "caption", "chat")}
"""What an endpoint of this kind can be asked at all."""
RESERVED = ("moondream", "vikhyatk", "dreamscope", "local")
"""Names of models on this machine begin with these, or their owners are called so."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_FIELDS = ("url", "key", "kind", "models", "skills", "price", "timeout", "concurrency")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server. `url` ends where `/models` or `/chat/completions` would begin; `timeout` in seconds.

    `kind`, `models` and `skills` are `None` where the endpoint has to be asked.
    """

    name: str
    url: str
    kind: str | None = None
    models: tuple[str, ...] | None = None
    skills: tuple[str, ...] | None = None
    price: wire.Price | None = None
    timeout: float = 60.0
    concurrency: int = 4
    key: KeySource = field(default_factory=KeySource)

    @property
    def host(self) -> str:
        """Its host name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def nearby(self) -> bool:
        """Whether it is on this machine, where no proxy leads."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_cloud(self) -> bool:
        """Whether it is Moondream's own."""
        return self.host == CLOUD_HOST


def configured_endpoints(urls: Sequence[str], keys: Sequence[str], file: Path | None) -> tuple[Endpoint, ...]:
    """The endpoints of `--endpoint` and then of the file `--endpoints`, with the keys of `--endpoint-key`.

    Raises `SettingError`.
    """
    found: dict[str, Endpoint] = {}
    for text in urls:
        name, _, url = text.partition("=")
        _add(found, _endpoint(name.strip(), {"url": url.strip()}, "--endpoint"), "--endpoint")
    for name, table in ({} if file is None else _tables(file)).items():
        _add(found, _endpoint(name, table, f"--endpoints {file}"), f"--endpoints {file}")
    for text in keys:
        name, _, source = text.partition("=")
        if name not in found:
            known = ", ".join(found) or "none"
            raise SettingError(f"--endpoint-key: it begins with NAME= of an endpoint; there is {known}.")
        found[name] = replace(found[name], key=KeySource.parse(source, f"--endpoint-key {name}"))
    return tuple(found.values())


def _add(found: dict[str, Endpoint], endpoint: Endpoint, source: str) -> None:
    if endpoint.name.lower() in (name.lower() for name in found):
        raise SettingError(f"{source}: there are two endpoints {endpoint.name!r}.")
    found[endpoint.name] = endpoint


def _tables(file: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(file.expanduser().read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"--endpoints {file}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SettingError(f"--endpoints {file}: this is no TOML file.") from None


def _endpoint(name: str, table: Any, source: str) -> Endpoint:
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"{source}: an endpoint is NAME=URL, its name 1 to 32 of the characters A-Z a-z 0-9 . _ -"
        )
    if name.lower() in RESERVED:
        raise SettingError(f"{source}: an endpoint cannot have the name {name}; models here are called so.")
    where = f"{source}, {name}"
    if not isinstance(table, dict) or not isinstance(table.get("url"), str):
        raise SettingError(f"{where}: it needs a url, like https://api.moondream.ai/v1.")
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise SettingError(f"{where}: unknown is {unknown[0]!r:.40}; there are {', '.join(_FIELDS)}.")
    endpoint = Endpoint(name, _base_url(table["url"], where))
    kind = table.get("kind", "moondream" if endpoint.is_cloud else None)
    if kind not in (None, *KINDS):
        raise SettingError(f"{where}: kind is one of {', '.join(KINDS)}.")
    skills = _names(table, "skills", where)
    if skills is not None and not set(skills) <= set(KIND_SKILLS.get(kind or "", SKILLS)):
        raise SettingError(f"{where}: skills are of {', '.join(KIND_SKILLS.get(kind or '', SKILLS))}.")
    key = table.get("key")
    return replace(
        endpoint,
        kind=kind,
        models=_names(table, "models", where) or (CLOUD_MODELS if endpoint.is_cloud else None),
        skills=skills,
        price=_price(table.get("price"), name, where),
        timeout=_number(table, "timeout", endpoint.timeout, 1, 3600, where),
        concurrency=int(_number(table, "concurrency", endpoint.concurrency, 1, 64, where)),
        key=KeySource() if key is None else KeySource.parse(key, f"{where}, key"),
    )


def _base_url(text: str, where: str) -> str:
    """Without a slash at its end, and with `/v1` if it has no path."""
    problem = f"{where}: the url is like http://localhost:2020/v1, without user, password, ? and #."
    try:
        parts = urlsplit(text)
        bad = parts.port == 0 or "@" in parts.netloc or parts.query or parts.fragment
    except ValueError:
        raise SettingError(problem) from None
    if bad or parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable():
        raise SettingError(problem)
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


def _names(table: Mapping[str, Any], name: str, where: str) -> tuple[str, ...] | None:
    value = table.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(_is_name(item) for item in value):
        raise SettingError(f"{where}: {name} is a list of names.")
    return tuple(dict.fromkeys(value))


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _price(value: Any, name: str, where: str) -> wire.Price | None:
    if value is None:
        return None
    sides: list[Any] = [value.get("input"), value.get("output")] if isinstance(value, dict) else [None]
    if not all(_is_number(side) and side >= 0 for side in sides):
        raise SettingError(f"{where}: price is {{ input = ..., output = ... }}, dollars per million tokens.")
    return wire.Price(float(sides[0]), float(sides[1]), name)


def _number(
    table: Mapping[str, Any], name: str, default: float, low: float, high: float, where: str
) -> float:
    value: Any = table.get(name, default)
    if not _is_number(value) or not low <= value <= high:
        raise SettingError(f"{where}: {name} is a number from {low:g} to {high:g}.")
    return float(value)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
