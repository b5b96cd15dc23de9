"""The Gradio side of the page: one Blocks with the page's skeleton, and what its document needs."""

from __future__ import annotations

import gradio as gr

from dreamscope.app.endpoints import NAMES, Endpoints
from dreamscope.app.ui.examples import Example
from dreamscope.app.ui.shell import shell_html

TITLE = "Dreamscope"
_FAVICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E"
    "%3Ccircle cx='10' cy='10' r='8' fill='%230c0d10' stroke='%236d78ff' stroke-width='2'/%3E"
    "%3Ccircle cx='12.4' cy='8' r='2.4' fill='%23ffffff'/%3E%3C/svg%3E"
)
STYLES = (
    *("style", "panel", "evidence", "viewer", "inspect", "replay", "verdict", "dialogs"),
    *("compare", "batch", "history", "pipeline"),
)
HEAD = (
    "".join(f'<link rel="stylesheet" href="/ui/{name}.css">' for name in STYLES)
    + f'<link rel="modulepreload" href="/ui/main.js"><link rel="icon" href="{_FAVICON}">'
)


def build_page(examples: tuple[Example, ...], endpoints: Endpoints, retention: bool = True) -> gr.Blocks:
    """The Blocks that is mounted at `/`. Its component mounts `static/main.js` on itself when it loads; its
    API has the `endpoints`, which wait in the engine's queue and not in Gradio's.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(
            html_template=shell_html(examples, retention),
            js_on_load="import('/ui/main.js').then((module) => module.mount(element));",
            apply_default_css=False,
            elem_id="playground",
        )
        for name in NAMES:
            gr.api(getattr(endpoints, name), api_name=name, queue=False, concurrency_limit=None)
    return blocks
