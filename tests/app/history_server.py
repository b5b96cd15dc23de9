"""The page's routes on a free port, for an engine at an address, with a history in a folder; to be killed.

python history_server.py ws://127.0.0.1:2020 FOLDER       prints `at HOST:PORT`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvicorn

from dreamscope.app.main import build_routes
from dreamscope.app.store.store import Store
from dreamscope.app.supervisor import RemoteEngine


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print("at", "{}:{}".format(*self.servers[0].sockets[0].getsockname()), flush=True)


def main(engine: str, folder: str) -> None:
    app = build_routes(RemoteEngine(engine), (), Store.open(Path(folder)))
    config = uvicorn.Config(app, port=0, log_level="error", ws="websockets-sansio", ws_max_size=2**25)
    asyncio.run(Server(config).serve())


if __name__ == "__main__":
    main(*sys.argv[1:])
