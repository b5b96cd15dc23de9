"""The alternative that `ui.py` measures against: the same tokens through Gradio's own generators.

One page, three ways that a Gradio application can stream text: a generator that yields after every token,
into an HTML component and into a Textbox, and one that yields what has come at most 30 times a second.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import AsyncIterator, Callable

from dreamscope.app.client import EngineClient, socket_url
from dreamscope.engine import wire

COALESCED_S = 1 / 30


async def texts(engine: str, question: str, every_s: float) -> AsyncIterator[str]:
    """The answer so far, again and again, at most once in `every_s` seconds, and whole at the end."""
    client = await EngineClient.open(socket_url(engine), "benchmark")
    try:
        await client.send(wire.RequestCreate(request_id="r", skill="query", question=question))
        said, shown = "", 0.0
        async for message in client.messages():
            if isinstance(message, wire.TextDelta):
                said += message.delta
                if time.monotonic() - shown >= every_s:
                    shown = time.monotonic()
                    yield said
            elif isinstance(message, wire.TERMINAL):
                yield said
                return
    finally:
        await client.close()


def main() -> None:
    """Serve the page until killed; prints its address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine")
    engine = parser.parse_args().engine
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    def generator(every_s: float) -> Callable[[str], AsyncIterator[str]]:
        async def run(question: str) -> AsyncIterator[str]:
            async for text in texts(engine, question, every_s):
                yield text

        return run

    with gr.Blocks(analytics_enabled=False) as blocks:
        question = gr.Textbox(elem_id="question")
        html, box, calm = gr.HTML(elem_id="html"), gr.Textbox(elem_id="box"), gr.Textbox(elem_id="calm")
        for name, target, every_s in (("html", html, 0.0), ("box", box, 0.0), ("calm", calm, COALESCED_S)):
            button = gr.Button(name, elem_id=f"run-{name}")
            button.click(
                generator(every_s), question, target, api_visibility="private", show_progress="hidden"
            )
    blocks.launch(server_name="127.0.0.1", quiet=True, prevent_thread_lock=True, inbrowser=False)
    print(f"at {blocks.local_url}", flush=True)
    blocks.block_thread()


if __name__ == "__main__":
    main()
