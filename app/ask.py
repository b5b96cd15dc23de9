"""`dreamscope ask`: one question about one image, streamed to the terminal."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from dreamscope.app.asking import IMAGE_ID, Asked, build_request
from dreamscope.app.client import EngineClient, EngineGone, EngineRefused, data_url, socket_url
from dreamscope.app.config import IMAGE_LIMIT_BYTES
from dreamscope.app.engine_of import check_engine, engine_of
from dreamscope.app.supervisor import EngineFailed, EngineStatus
from dreamscope.app.terminal import Output, Patient, Terminal
from dreamscope.engine import wire
from dreamscope.engine.settings import SettingError, Values
from dreamscope.visualizers.overlay import data_uri, overlay
from dreamscope.visualizers.raster import burn_in
from dreamscope.visualizers.words import metrics_line

CLIENT_NAME = "dreamscope-ask/0.1"
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")


class Failed(Exception):
    """The request could not be done; the text is a sentence for people, `status` the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


async def ask(asked: Asked, values: Values, engine_flags: Sequence[str]) -> int:
    """Ask, print, perhaps save; returns the exit status.

    Raises `SettingError` for what cannot be asked, `BrokenPipeError` if nobody reads what is printed.
    """
    save = _checked_save(values["save"])
    data = read_image(asked.image)
    create = build_request(asked, values)
    check_engine(values)
    # With a file to write, the run goes on even if whoever reads the text has left.
    output = Patient(sys.stdout) if save else sys.stdout
    try:
        async with engine_of(values, engine_flags) as engine:
            done = await _stream(engine.status, data, create, None if values["json"] else output)
    except (Failed, EngineGone, EngineFailed, EngineRefused) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status if isinstance(error, Failed) else 1
    if save is not None:
        save_marks(save, data, wire.result_from_json(create.skill, done.output), create.object or "")
    if values["json"]:
        shown = {**done.output, "finish_reason": done.finish_reason, "metrics": wire.to_json(done.metrics)}
        print(json.dumps(shown, indent=2))
    else:
        print(metrics_line(done.metrics), file=sys.stderr)
    if isinstance(output, Patient) and output.left:
        raise BrokenPipeError
    return 0


def read_image(path: str) -> bytes:
    """The bytes of an image file. Raises `SettingError` when it is none that can be sent."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}.") from None
    if len(data) > IMAGE_LIMIT_BYTES:
        raise SettingError(f"{path}: larger than {IMAGE_LIMIT_BYTES / 1e6:.0f} MB.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.open(io.BytesIO(data), formats=FORMATS).close()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SettingError(f"{path}: too many pixels; the engine takes up to 50 million.") from None
    except OSError:
        raise SettingError(f"{path}: not an image that can be read; use {', '.join(FORMATS)}.") from None
    return data


def save_marks(path: Path, image: bytes, result: wire.Result, name: str) -> None:
    """Write the image with the marks of `result` as SVG or PNG. Raises `SettingError` if it cannot."""
    with Image.open(io.BytesIO(image)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    try:
        if path.suffix.lower() == ".png":
            burn_in(result, upright, name).save(path)
            return
        encoded = io.BytesIO()
        upright.save(encoded, "PNG")
        embedded = data_uri(encoded.getvalue(), "image/png")
        path.write_text(overlay(result, upright.size, name, image=embedded), "utf-8")
    except OSError as error:
        raise SettingError(f"--save {path}: {error.strerror}.") from None


def _checked_save(save: str | None) -> Path | None:
    if save is None:
        return None
    path = Path(save)
    if path.suffix.lower() not in (".svg", ".png"):
        raise SettingError(f"--save {save}: the name must end in .svg or .png.")
    if not path.parent.is_dir():
        raise SettingError(f"--save {save}: there is no folder {path.parent}.")
    return path


async def _stream(
    status: EngineStatus, image: bytes, create: wire.RequestCreate, output: Output | None
) -> wire.RequestDone:
    """Run the request, its events written to `output` as they come. Raises `Failed`, `EngineGone`."""
    assert status.url is not None, "it is ready"
    client = await EngineClient.open(socket_url(status.url), CLIENT_NAME, status.key)
    terminal = Terminal(output, wants_ansi(sys.stdout.isatty(), os.environ)) if output else None
    try:
        await client.send(wire.ImagePut(IMAGE_ID, data_url(image)))
        await client.send(create)
        tell = progress_teller()
        async for message in client.messages():
            tell(message)
            if terminal:
                terminal.feed(message)
            if isinstance(message, (*wire.TERMINAL, wire.ErrorEvent)):
                if terminal:
                    terminal.finish(isinstance(message, wire.RequestDone), create.skill)
                return done_of(message)
        raise EngineGone("The engine closed the connection.")
    finally:
        await client.close()


def progress_teller() -> Callable[[wire.Message], None]:
    """What says on standard error how the loading of models goes, each step once."""
    told = ""

    def tell(message: wire.Message) -> None:
        nonlocal told
        if isinstance(message, wire.ModelProgress) and message.detail != told:
            told = message.detail
            print(f"{message.model}: {told}", file=sys.stderr)

    return tell


def done_of(message: wire.Message) -> wire.RequestDone:
    """The end of a request, if that is a result. Raises `Failed` saying why it is none."""
    match message:
        case wire.RequestDone():
            return message
        case wire.RequestFailed(error=error) | wire.ErrorEvent(error=error):
            raise Failed(error.message, 2 if error.type == "invalid_request_error" else 1)
        case _:
            raise Failed("The run was stopped.")


def wants_ansi(tty: bool, environ: Mapping[str, Any]) -> bool:
    """Whether text may be styled with escape codes."""
    return tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
