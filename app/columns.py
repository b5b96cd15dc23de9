"""The runs of one page, by column: which go on, what to send for them, and what the page and the history
are told of them. Knows no sockets: what has to go to the engine is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dreamscope.app import words
from dreamscope.app.asks import Invalid, field_of
from dreamscope.app.outbox import Outbox
from dreamscope.app.recorder import Recorder
from dreamscope.app.runs import Request, Run
from dreamscope.app.store.kinds import StoredImage
from dreamscope.engine import wire
from dreamscope.visualizers.fragment import Fragment
from dreamscope.visualizers.words import failed as failed_text
from dreamscope.visualizers.words import stopped as stopped_text

FindModel = Callable[[str | None], wire.ModelInfo | None]


class Columns:
    """All runs of a page. `find_model` looks a model up by name, `None` being the one that answers then."""

    def __init__(self, outbox: Outbox, recorder: Recorder, find_model: FindModel) -> None:
        self._outbox = outbox
        self._recorder = recorder
        self._find_model = find_model
        self._runs: dict[str, Run] = {}  # by column, the latest
        self._requests: dict[str, tuple[Run, Request]] = {}  # by id, those that are not over

    # -------------------------------------------------------------------------------- what there is

    def state(self, column: str) -> str:
        """What the page was told last of this column."""
        run = self._runs.get(column)
        return run.told if run else "idle"

    def check_free(self, columns: Collection[str]) -> None:
        """Raises `Invalid` for a column in which a run goes on."""
        for column in columns:
            if column in self._runs and self._runs[column].busy:
                raise Invalid("prompt", words.RUN_GOES_ON, column)

    @property
    def lost(self) -> bool:
        """Whether the page says of a run already that the engine is gone."""
        return any(request.lost for _, request in self._requests.values())

    @property
    def unsent_images(self) -> dict[str, StoredImage]:
        """The images of requests that the engine does not have yet, by hash."""
        unsent = (run.image for run, request in self._requests.values() if not request.sent)
        return {image.hash: image for image in unsent if image}

    # ------------------------------------------------------------------------------------- the page

    def begin(self, runs: Sequence[Run], waits: str) -> None:
        """Runs take their columns over. `waits` says what they wait for, if they do."""
        for run in runs:
            self._give_way(run.column)
            self._runs[run.column] = run
            self._requests |= {request.id: (run, request) for request in run.requests}
            model = self._find_model(run.ask.create.model)
            self._outbox.put(run.column, begin=run.begin_message(model))
            self._outbox.put(run.column, run=run.told, id=run.id)
            if waits:
                self._show(run, [change for each in run.requests for change in each.wait_for(waits)])

    def stop(self, column: str | None) -> list[wire.RequestCancel]:
        """End the run of `column`, or of all: what to tell the engine, which ends those that it has."""
        cancels = []
        for run, request in tuple(self._requests.values()):
            if column is not None and run.column != column:
                continue
            if request.lost:
                self._end(run, request, request.end("interrupted", "stopped", words.ENGINE_ENDED))
            elif request.sent:
                cancels.append(wire.RequestCancel(request.id))
            else:
                self._end(run, request, request.end("stopped", "stopped", stopped_text("client", "")))
        return cancels

    def leave(self) -> None:
        """The page is gone, and with it the connection: the engine stops what it has."""
        for run, request in tuple(self._requests.values()):
            self._end(run, request, request.end("interrupted" if request.lost else "stopped", "stopped", ""))

    # ----------------------------------------------------------------------------------- the engine

    def next_requests(self, images: Collection[str], most: int) -> list[tuple[Request, wire.RequestCreate]]:
        """What may be sent now, with its image: at most `most` requests are on their way at a time, the
        first parts of all runs before the others. They count as sent.
        """
        going = list(self._requests.values())
        free = most - sum(request.sent for _, request in going)
        ready = [pair for pair in going if not pair[1].sent and _has_image(pair[0], images)]
        chosen = sorted(ready, key=lambda pair: pair[1].part)[: max(free, 0)]
        for _, request in chosen:
            request.sent = True
        return [(request, run.on_image(request)) for run, request in chosen]

    def take(self, event: wire.RequestEvent) -> None:
        """An event of a request. One that was seen before only tells that the request is known."""
        run, request = self._requests.get(event.request_id, (None, None))
        if run is None or request is None:
            return
        if event.seq <= request.last_seq:
            self._show(run, request.find())
            return
        if isinstance(event, wire.RequestAccepted) and (model := self._answering(event.model)):
            self._recorder.answered_by(run.id, model)
        self._recorder.event(run.id, request.part, event)
        try:
            fragments = request.feed(event)
        except wire.WireError as error:
            fragments = request.end("failed", "failed", str(error))
        refused = field_of(event.error) if isinstance(event, wire.RequestFailed) and event.seq == 0 else None
        if refused and len(run.requests) == 1:
            assert isinstance(event, wire.RequestFailed)
            self._refuse(run, request, refused, event.error.message)
        elif request.over:
            self._end(run, request, fragments)
        else:
            self._show(run, fragments)

    def refuse(self, request_id: str, error: wire.ErrorInfo) -> bool:
        """An error that names a request: it was not taken on, or is not known any more. Whether one does."""
        run, request = self._requests.get(request_id, (None, None))
        if run is None or request is None:
            return False
        if request.lost:
            self._end(run, request, request.end("interrupted", "stopped", words.ENGINE_BACK))
        else:
            self._end(run, request, request.end("failed", "failed", failed_text(error, "")))
        return True

    def reject_image(self, image_hash: str, text: str) -> None:
        """The engine cannot read an image: what waits for it fails."""
        for run, request in tuple(self._requests.values()):
            if run.image and run.image.hash == image_hash and not request.sent:
                self._end(run, request, request.end("failed", "failed", text))

    def wait_for(self, model: str, detail: str) -> None:
        """A model is being loaded: the requests that wait for it say so."""
        for run, request in tuple(self._requests.values()):
            if request.create.model in (None, model) and not request.lost:
                self._show(run, request.wait_for(detail))

    def lose(self, detail: str) -> None:
        """The connection ended: keep what the runs wrote, and let the page say so."""
        for run, request in self._requests.values():
            if not request.sent:
                self._show(run, request.wait_for(words.WAITING_FOR_ENGINE))
            elif not request.lost:
                self._show(run, request.lose(detail))

    def resume(self) -> list[wire.RequestResume]:
        """A connection stands again: what to ask the engine for. If it knows nothing of a request, `refuse`
        will be called with its answer; if it does, the last event that was seen comes again, if there is one.
        """
        return [
            wire.RequestResume(request.id, max(request.last_seq - 1, -1))
            for _, request in self._requests.values()
            if request.lost
        ]

    def give_up(self) -> None:
        """The engine will not come back, or not soon enough to know the requests that were lost."""
        for run, request in tuple(self._requests.values()):
            if request.lost:
                self._end(run, request, request.end("interrupted", "failed", words.ENGINE_ENDED))

    # ---------------------------------------------------------------------------------- small steps

    def _answering(self, name: str) -> wire.ModelInfo | None:
        """The model that answers as `name`, which may end with the name of an adapter."""
        return self._find_model(name) or self._find_model(name.rpartition("/")[0])

    def _give_way(self, column: str) -> None:
        """What was lost in this column is given up, because another run takes its place."""
        for run, request in tuple(self._requests.values()):
            if run.column == column:
                self._end(run, request, request.end("interrupted", "stopped", words.ENGINE_ENDED))

    def _refuse(self, run: Run, request: Request, field: str, text: str) -> None:
        """A run that the engine does not take on: the page says so beside the field, and shows no run."""
        self._close(run, request)
        run.told = "idle"
        self._outbox.put_fragments([Fragment("status", "replace", "")], run.column)
        self._outbox.put(run.column, invalid={"field": field, "text": text})
        self._outbox.put(run.column, run="idle", id=run.id)

    def _end(self, run: Run, request: Request, fragments: list[Fragment]) -> None:
        self._close(run, request)
        self._show(run, fragments)

    def _close(self, run: Run, request: Request) -> None:
        del self._requests[request.id]
        self._recorder.end(run.id, request.part, request.state)

    def _show(self, run: Run, fragments: list[Fragment]) -> None:
        self._outbox.put_fragments(fragments, run.column)
        if run.state != run.told:
            run.told = run.state
            self._outbox.put(run.column, run=run.told, id=run.id)


def _has_image(run: Run, images: Collection[str]) -> bool:
    """Whether the engine has the image of the run, if it is about one."""
    return run.image is None or run.image.hash in images
