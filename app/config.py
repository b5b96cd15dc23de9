"""The settings of the app: one table that drives the flags, the environment, `--help` and the page's form.

Commands: `up` (engine and web), `web` (the page alone), and those that do their work in the terminal. The
engine has its own table; flags that are not in this one are passed on to the engine child unread.
"""

from __future__ import annotations

from dreamscope.engine.settings import Setting, boolean, comma_list, folder

DEFAULT_PORT = 7860
DEFAULT_ENGINE_PORT = 2020
SKILLS = ("query", "caption", "point", "detect", "segment", "gaze", "chat")
PAGE_SKILLS = ("query", "caption", "point", "detect", "segment", "gaze")
REFERENCE_SKILLS = ("query", "point", "segment")
"""Which skills may refer to places in the image."""
OBJECT_SKILLS = ("point", "detect", "segment")
"""Which skills are given the name of a thing."""
IMAGELESS_SKILLS = ("query",)
"""Which skills may be asked without an image."""
MOST_OBJECTS = 8
"""How many things one run may look for."""
MAIN_COLUMN = "main"
MOST_COLUMNS = 4
COLUMNS = (MAIN_COLUMN, *(str(number) for number in range(MOST_COLUMNS)))
"""Where on the page a run is shown: the playground, or a column of a comparison."""
CAPTION_LENGTHS = ("short", "normal", "long")
FORMATS: dict[str, str] = {
    "text": "text",
    "json": "json_object",
    "schema": "json_schema",
    "xml": "xml",
    "markdown": "markdown",
    "csv": "csv",
}
"""Forms of an answer: the name people use, and the `type` of the request's `response_format`."""
SHORTEST_KEY = 8
"""Of the page, in characters."""
IMAGE_LIMIT_BYTES = 18_000_000
"""Largest image file: in base64 and with its envelope it fits into one message to the engine."""


def page_key(text: str) -> str:
    """The `type` of the page's key. Raises `ValueError`."""
    if len(text) < SHORTEST_KEY or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(text)
    return text


RUNNING: tuple[Setting, ...] = (
    Setting(
        "model",
        str,
        "sprite-2",
        "Model the engine loads: a known name or a local folder.",
        commands=("up", "web", "ask", "chat", "doctor"),
        metavar="NAME",
    ),
    Setting("host", str, "127.0.0.1", "Address the page listens on.", commands=("up", "web")),
    Setting(
        "port",
        int,
        DEFAULT_PORT,
        "Port of the page; when it is taken, the next free one is used.",
        minimum=1,
        maximum=65535,
        commands=("up", "web", "doctor"),
    ),
    Setting(
        "browser",
        boolean,
        True,
        "Open the page in a browser when there is a display; --no-browser does not.",
        commands=("up",),
    ),
    Setting(
        "engine_port",
        int,
        DEFAULT_ENGINE_PORT,
        "Port of the engine that is started; when it is taken, the next free one is used.",
        minimum=1,
        maximum=65535,
        commands=("up", "doctor"),
    ),
    Setting(
        "engine",
        str,
        None,
        "URL of an engine that runs already, such as ws://127.0.0.1:2020; none is started then.",
        commands=("up", "web", "ask", "chat"),
        metavar="URL",
    ),
    Setting(
        "engine_key",
        str,
        None,
        "API key for the engine at --engine, if it asks for one; better set in the environment.",
        commands=("up", "web", "ask", "chat"),
        secret=True,
        metavar="KEY",
    ),
    Setting(
        "data",
        folder,
        None,
        "Folder that keeps the history; without one, dreamscope in the system's folder for data.",
        commands=("up", "web", "audit", "doctor", "history"),
        metavar="FOLDER",
    ),
    Setting(
        "history",
        boolean,
        True,
        "Keep every run with its image on this machine; --no-history forgets them when Dreamscope ends.",
        commands=("up", "web"),
    ),
    Setting(
        "retention",
        boolean,
        True,
        "Keep runs; --no-retention deletes them once no page is open, and in the engine when they end.",
        commands=("up", "web"),
    ),
    Setting(
        "key",
        page_key,
        None,
        "What everybody must know to use the page, 8 letters or more; made where others can reach it.",
        commands=("up", "web"),
        secret=True,
        metavar="KEY",
    ),
    Setting(
        "share",
        boolean,
        False,
        "Also give the page a public address through Gradio's tunnel, for as long as it runs.",
        commands=("up", "web"),
    ),
    Setting(
        "allowed_hosts",
        comma_list,
        (),
        "Names besides localhost that a page without a key may be reached by, separated by commas.",
        commands=("up", "web"),
        metavar="NAMES",
        variable="page_hosts",
    ),
    Setting(
        "history_limit",
        int,
        5000,
        "Runs that are kept; the oldest that are neither pinned nor shared make room.",
        minimum=1,
        maximum=1_000_000,
        commands=("up", "web"),
    ),
)

SAMPLING: tuple[Setting, ...] = (
    Setting(
        "temperature",
        float,
        0.2,
        "How freely words are chosen: 0 always takes the likeliest, higher values vary more.",
        minimum=0,
        maximum=2,
        commands=("ask", "chat"),
    ),
    Setting(
        "top_p",
        float,
        0.9,
        "Choose only among the likeliest words that together reach this probability.",
        minimum=0.01,
        maximum=1,
        commands=("ask", "chat"),
    ),
    Setting(
        "max_tokens",
        int,
        768,
        "Longest reasoning and answer together, in tokens.",
        minimum=1,
        maximum=2048,
        commands=("ask", "chat"),
    ),
    Setting(
        "max_objects",
        int,
        150,
        "Most points or boxes to return.",
        minimum=1,
        maximum=1000,
        commands=("ask", "chat"),
    ),
    Setting(
        "seed",
        int,
        None,
        "The same seed gives the same run again; without one every run draws anew.",
        minimum=0,
        maximum=2**31 - 1,
        commands=("ask", "chat"),
    ),
)

ASKING: tuple[Setting, ...] = (
    Setting("skill", str, "query", "What to do with the image.", choices=SKILLS, commands=("ask",)),
    Setting(
        "reasoning",
        boolean,
        True,
        "Think in words that point at the image before answering; --no-reasoning answers at once.",
        commands=("ask", "chat"),
    ),
    Setting("length", str, "normal", "How much a caption says.", choices=CAPTION_LENGTHS, commands=("ask",)),
    Setting(
        "format",
        str,
        "text",
        "Form of the answer to query and chat; json is valid JSON for certain, the others are asked for.",
        choices=tuple(name for name in FORMATS if name != "schema"),
        commands=("ask",),
    ),
    Setting(
        "preset",
        str,
        None,
        "A ready-made question of the engine; with it, query needs no question.",
        commands=("ask",),
        metavar="NAME",
    ),
    Setting(
        "adapter",
        str,
        None,
        "Answer through this adapter of the model.",
        commands=("ask", "chat"),
        metavar="NAME@STEP",
    ),
    Setting(
        "uncertainty",
        boolean,
        False,
        "Also say how far each number spreads: the middle 68 percent of what the model considered.",
        commands=("ask",),
    ),
    Setting(
        "json",
        boolean,
        False,
        "Print the result as JSON once it is complete.",
        commands=("ask", "audit", "doctor", "history"),
    ),
    Setting(
        "save",
        str,
        None,
        "Also draw the marks on the image and write it to this .svg or .png file.",
        commands=("ask",),
        metavar="FILE",
    ),
)

TABLE: tuple[Setting, ...] = RUNNING + ASKING + SAMPLING

_OF_TEXT = ("temperature", "top_p", "max_tokens", "seed")
_OF_PLACES = ("temperature", "top_p", "max_objects", "seed")
SETTINGS_OF_SKILL: dict[str, tuple[str, ...]] = {
    "query": _OF_TEXT,
    "caption": _OF_TEXT,
    "point": _OF_PLACES,
    "detect": _OF_PLACES,
    "segment": _OF_TEXT,
    "gaze": ("seed",),
    "chat": _OF_TEXT,
}
"""Which sampling settings a skill listens to; the others are accepted by the engine and ignored."""

GREEDY_SKILLS = ("point", "detect", "segment")
GREEDY_DEFAULTS: dict[str, float] = {"temperature": 0.0, "top_p": 1.0}
"""Defaults of the skills that answer with places where they differ from the table."""


def sampling_row(name: str) -> Setting:
    """The row of one sampling setting. Raises `KeyError`."""
    return next(row for row in SAMPLING if row.name == name)
