"""Every skill as a function that Gradio offers by name, to `gradio_client` and as an MCP tool.

Gradio reads the signatures and docstrings below: they are what programs and assistants are told. Annotations
are therefore evaluated, not kept as text.

A call goes to the engine over the websocket and into the history, like a run of the page.
"""

import asyncio
import json
import re
from typing import Any

import gradio as gr

from dreamscope.app import words
from dreamscope.app.asks import Ask, Invalid, parse_ask
from dreamscope.app.background import ask_recorded
from dreamscope.app.called import conversation, image_bytes, without_spreads
from dreamscope.app.client import EngineGone, EngineRefused
from dreamscope.app.context import Context
from dreamscope.app.images import normalise
from dreamscope.app.store.kinds import StoreError
from dreamscope.engine import wire
from dreamscope.visualizers.record import Picture, Record

NAMES = ("query", "caption", "point", "detect", "segment", "gaze", "chat")
"""Methods of `Endpoints` that are offered."""
LONGEST_TITLE = 80
_HASH = re.compile(r"[0-9a-f]{64}")
_MCP = "/gradio_api/mcp"
Answer = dict[str, Any] | str


class Endpoints:
    """The skills. Each method answers with the result as the HTTP API has it, and `run`, its id in the
    history; MCP clients get it as the text of JSON. Raises `gr.Error` with a sentence for people.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def query(
        self,
        request: gr.Request,
        image: str,
        question: str,
        reasoning: bool = True,
        spatial_refs: list[list[float]] | None = None,
        schema: str = "",
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Answer a question about an image, with the reasoning and the places that its words point at.

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL; empty to ask without one
            question: what to ask
            reasoning: whether to think in words that point at the image before answering
            spatial_refs: places that are meant, [x, y] or [x1, y1, x2, y2] in fractions of the image
            schema: text of a JSON Schema that the answer will keep, or empty
            model: name of a model, or empty for the default
            settings: temperature, top_p, max_tokens, seed
        Returns:
            answer, reasoning with its text and grounding, model, run, metrics
        """
        fields = {"question": question, "reasoning": reasoning, "refs": spatial_refs}
        formatted = {"format": "schema", "schema": schema} if schema else {}
        return await self._run(request, "query", image, model, settings, {**fields, **formatted})

    async def caption(
        self,
        request: gr.Request,
        image: str,
        length: str = "normal",
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Describe an image.

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL
            length: short, normal or long
            model: name of a model, or empty for the default
            settings: temperature, top_p, max_tokens, seed
        Returns:
            caption, model, run, metrics
        """
        return await self._run(request, "caption", image, model, settings, {"length": length})

    async def point(
        self,
        request: gr.Request,
        image: str,
        object: str,
        spatial_refs: list[list[float]] | None = None,
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Point at every thing of a kind in an image.

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL
            object: what to point at, such as: red car
            spatial_refs: places that are meant, [x, y] or [x1, y1, x2, y2] in fractions of the image
            model: name of a model, or empty for the default
            settings: max_objects, temperature, top_p, seed
        Returns:
            points with x and y in fractions of the image, count, model, run, metrics
        """
        fields = {"object": object, "refs": spatial_refs}
        return await self._run(request, "point", image, model, settings, fields)

    async def detect(
        self,
        request: gr.Request,
        image: str,
        object: str,
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Draw a box around every thing of a kind in an image.

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL
            object: what to find, such as: dog
            model: name of a model, or empty for the default
            settings: max_objects, temperature, top_p, seed
        Returns:
            objects with x_min, y_min, x_max and y_max in fractions of the image, model, run, metrics
        """
        return await self._run(request, "detect", image, model, settings, {"object": object})

    async def segment(
        self,
        request: gr.Request,
        image: str,
        object: str,
        spatial_refs: list[list[float]] | None = None,
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Outline one thing in an image.

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL
            object: what to outline, such as: dog
            spatial_refs: which one is meant, [x, y] or [x1, y1, x2, y2] in fractions of the image
            model: name of a model that can outline, or empty for the default
            settings: temperature, top_p, max_tokens, seed
        Returns:
            svg_path in fractions of bbox, bbox, model, run, metrics
        """
        fields = {"object": object, "refs": spatial_refs}
        return await self._run(request, "segment", image, model, settings, fields)

    async def gaze(
        self,
        request: gr.Request,
        image: str,
        eye: list[float] | None = None,
        face: list[float] | None = None,
        force: bool = False,
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Find what somebody in an image looks at, from an eye (fast) or from the face (steady).

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL
            eye: [x, y] in fractions of the image
            face: [x1, y1, x2, y2] in fractions of the image
            force: name a place even if no target is seen
            model: name of a model, or empty for the default
            settings: seed
        Returns:
            gaze with x and y in fractions of the image or null, model, run, metrics
        """
        fields = {"eye": eye, "face": face, "force": force}
        return await self._run(request, "gaze", image, model, settings, fields)

    async def chat(
        self,
        request: gr.Request,
        image: str,
        messages: list[dict[str, str]],
        model: str = "",
        settings: dict[str, Any] | None = None,
    ) -> Answer:
        """Go on with a conversation about an image.

        Args:
            image: what POST /gradio_api/upload answered for the file, or a data URL
            messages: what was said, each with role (user or assistant) and content; the last is the user's
            model: name of a model, or empty for the default
            settings: temperature, top_p, max_tokens, seed
        Returns:
            answer, reasoning if there was any, model, run, metrics
        """
        try:
            # Checked as a query is, for the settings and the seed; then it becomes a conversation.
            ask = parse_ask({"skill": "query", "question": "-", "model": model, "settings": settings})
            ask = Ask(ask.id, (conversation(ask.create, messages),))
        except Invalid as error:
            raise gr.Error(error.text, print_exception=False) from None
        said = " ".join(messages[-1]["content"].split())[:LONGEST_TITLE]
        return _answer(request, await self._asked(ask, image, said))

    async def _run(
        self,
        request: gr.Request,
        skill: str,
        image: str,
        model: str,
        settings: dict[str, Any] | None,
        fields: dict[str, Any],
    ) -> Answer:
        said = {name: value for name, value in fields.items() if value is not None}
        alone = {"image": False} if not image else {}
        try:
            ask = parse_ask({"skill": skill, "model": model, "settings": settings, **said, **alone})
        except Invalid as error:
            raise gr.Error(error.text, print_exception=False) from None
        return _answer(request, await self._asked(ask, image))

    async def _asked(self, ask: Ask, image: str, title: str = "") -> Record:
        """The run, done, kept under `title`. Raises `gr.Error` if it cannot begin or does not end well."""
        context = self._context
        try:
            with context.hub.listening(lambda ids: None):  # like a page, while somebody waits for the answer
                picture = await self._picture(image)
                record = await ask_recorded(
                    context.engine, context.store, ask, picture, title=title, changed=context.hub.changed
                )
        except (Invalid, EngineGone, EngineRefused, StoreError) as error:
            raise gr.Error(str(error), print_exception=False) from None
        if record.state != "done":
            why = record.parts[0].error
            raise gr.Error(why.message if why else words.ENGINE_ENDED, print_exception=False)
        return record

    async def _picture(self, image: str) -> Picture | None:
        """What `image` names or holds, kept; `None` if it is empty. Raises `Invalid`, `StoreError`."""
        store = self._context.store
        if not image:
            return None
        if _HASH.fullmatch(image):
            found = await asyncio.to_thread(store.image, image)
            if found is None:
                raise Invalid("image", words.IMAGE_NOT_KEPT)
            return found.picture
        data = image_bytes(image)
        return await asyncio.to_thread(lambda: store.put_image(normalise(data)))


def _answer(request: gr.Request, record: Record) -> Answer:
    """The result of a run that is done; as text for MCP, where Gradio would write it in Python's manner."""
    done = record.parts[0].events[-1]
    assert isinstance(done, wire.RequestDone)
    known = {"run": record.id, "model": record.model, "finish_reason": done.finish_reason}
    answer = {**without_spreads(done.output), **known, "metrics": wire.to_json(done.metrics)}
    if "path" in answer:  # by that name Gradio's client takes the whole answer for a file, and fetches it
        answer["svg_path"] = answer.pop("path")
    return json.dumps(answer) if request.url.path.startswith(_MCP) else answer
