"""The code that repeats a run, as HTML.

section.code[data-run]
    section.snippet[data-lang=python|curl|openai|websocket]
        h4.snippet-name                   "Python", "curl", "OpenAI client", "Websocket"
        pre.snippet-text > code           the text to copy is that of `code`
"""

from __future__ import annotations

from collections.abc import Callable

from dreamscope.visualizers.escape import escape
from dreamscope.visualizers.record import Record
from dreamscope.visualizers.snippets.curl import curl
from dreamscope.visualizers.snippets.python import moondream, openai
from dreamscope.visualizers.snippets.request import Target
from dreamscope.visualizers.snippets.websocket import websocket

SNIPPETS: dict[str, tuple[str, Callable[[Record, Target], str]]] = {
    "python": ("Python", moondream),
    "curl": ("curl", curl),
    "openai": ("OpenAI client", openai),
    "websocket": ("Websocket", websocket),
}


def snippets(record: Record, engine_url: str | None) -> dict[str, str]:
    """The code by its name in `SNIPPETS`; `engine_url` is where the engine listens."""
    target = Target.of(engine_url)
    return {name: make(record, target) for name, (_, make) in SNIPPETS.items()}


def render(record: Record, code: dict[str, str]) -> str:
    """The panel; `code` is from `snippets`."""
    body = "".join(
        f'<section class="snippet" data-lang="{name}"><h4 class="snippet-name">{SNIPPETS[name][0]}</h4>'
        f'<pre class="snippet-text"><code>{escape(text)}</code></pre></section>'
        for name, text in code.items()
    )
    return f'<section class="code" data-run="{escape(record.id)}">{body}</section>'
