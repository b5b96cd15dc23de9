"""The engine of a command in the terminal: one that runs already, or a private one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from dreamscope.app.client import socket_url
from dreamscope.app.supervisor import Engine, RemoteEngine, Supervisor, engine_command
from dreamscope.engine.settings import SettingError, Values


def check_engine(values: Values) -> None:
    """Raises `SettingError` if `--engine` is no address."""
    if values["engine"]:
        try:
            socket_url(values["engine"])
        except ValueError as error:
            raise SettingError(f"--engine: {error}") from None


@contextlib.asynccontextmanager
async def engine_of(values: Values, flags: Sequence[str]) -> AsyncIterator[Engine]:
    """The engine that `--engine` names, or one of `--model` and `flags` that lives as long as the context.

    It is ready. Raises `EngineFailed` if the private one ends before that.
    """
    if values["engine"]:
        yield RemoteEngine(values["engine"], values["engine_key"])
        return
    own = (f"--model={values['model']}", "--host=127.0.0.1", "--port=0", "--exit-with-parent", "--drain=0")
    supervisor = Supervisor(engine_command("serve", *own, *flags))
    supervisor.start()
    try:
        await supervisor.wait_ready()
        yield supervisor
    finally:
        await supervisor.stop()
