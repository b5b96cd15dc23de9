"""A program that has processes record runs without end, until they are killed; argument: the data folder.

For each line that it reads it forks one, which prints `open PID`, and `begun ID` once a run is on disk, for
which the page waits before it asks the engine. When that was killed, `ended` is printed. Forking spares each
the start of an interpreter.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dreamscope.app.store.kinds import new_id, timestamp
from dreamscope.app.store.store import Store
from dreamscope.engine import wire
from dreamscope.visualizers.record import Part, Record

WORDS_PER_RUN = 60


def main() -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            record_runs(Path(sys.argv[1]))
        os.waitpid(child, 0)
        print("ended", flush=True)


def record_runs(folder: Path) -> None:
    store = Store.open(folder)
    print("open", os.getpid(), flush=True)
    while True:
        run_id = new_id()
        create = wire.RequestCreate(request_id=run_id, skill="query", question="How many dogs?")
        record = Record(
            id=run_id, created_at=timestamp(), skill="query", model="sprite-2", parts=(Part(create),)
        )
        store.begin(record)
        store.flush()
        print("begun", run_id, flush=True)
        for seq in range(WORDS_PER_RUN):
            delta = wire.TextDelta(request_id=run_id, seq=seq, t=float(seq), delta=f"word{seq} ")
            store.append(run_id, 0, [delta])
            time.sleep(0.0005)  # as an engine would send them
        done = wire.RequestDone(
            request_id=run_id,
            seq=WORDS_PER_RUN,
            t=99.0,
            finish_reason="stop",
            output={"answer": "".join(f"word{seq} " for seq in range(WORDS_PER_RUN))},
            metrics=wire.Metrics(output_tokens=WORDS_PER_RUN),
        )
        store.append(run_id, 0, [done])
        store.finish(run_id, 0, "done")


if __name__ == "__main__":
    main()
