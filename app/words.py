"""Every sentence the page says about its own state. Short, concrete, no exclamation marks.

What a run says about itself is worded in `visualizers/words.py`.
"""

from __future__ import annotations

EMPTY = "Drop an image here, paste one, or start from a scene."

ALONE = "Without an image: a query is answered from its words alone. The other skills need one."

STREAM_HINT = (
    "The reasoning and the answer arrive here. Point at an underlined word to see its place in the image."
)

ENGINE_READY = "Ready"
ENGINE_STARTING = "Starting"
ENGINE_RESTARTING = "Restarting"
ENGINE_UNREACHABLE = "No engine"
ENGINE_FAILED = "Engine failed"

IMAGE_MISSING = "Choose an image first: open one, drop it here, or pick a scene."
IMAGE_UNREADABLE = "This file is not an image that can be opened. Use JPEG, PNG, WebP, GIF or BMP."
IMAGE_NOT_KEPT = "This image is not in the history any more. Open it again."
IMAGE_TOO_MANY_PIXELS = "This image has too many pixels. Up to 50 million can be opened."
IMAGE_AS_TEXT = "An image is what the upload answered, or a data: URL in base64; addresses are not fetched."
NO_CONVERSATION = (
    'A conversation is a list of {"role": "user" or "assistant", "content": text}; it ends with the user.'
)
IMAGE_NOT_FOUND = "This scene is not here any more."
FOREIGN_PAGE = "Only pages of this Dreamscope may change something here."
NOTHING_TAKEN = "Nothing can be sent to this address."
NO_SUCH_ADDRESS = "There is no such address here, or it does not take this method."
NOT_AN_OBJECT = "The body must be a JSON object."
HISTORY_TROUBLE = "The history cannot be read or written at the moment; the program's output says why."
FORM_UNREADABLE = "This form cannot be read; it must hold one file."
NOT_SENT_AS_JSON = "Send the body as JSON, with Content-Type: application/json."
NO_SUCH_RUN = "This run is not in the history."
AUDIT_NO_IMAGE = "This run has no image in which something could be detected."
IMAGE_GONE = "The image of this run is not kept any more."
TRUTH_OF_WHAT = 'Send {"truth": [places]}, {"truth": null}, or {"file": what a file of places holds}.'
NO_SUCH_COMPARISON = "This comparison is not in the history."
NOTHING_TO_UNDO = "It is too late to undo this; it was deleted for good."
CLEAR_UNCONFIRMED = 'To delete everything, send {"confirm": "delete"}.'
NO_SUCH_SHARE = "There is no such link, or it was ended before."
SHARE_OF_WHAT = 'Name what to share: {"run": id} or {"comparison": id}.'
SHARE_TOO_WIDE = "A comparison of more than four runs cannot be shared as a page."
EXPIRY_STRANGE = "A link may last from a second to ten years; say how many seconds, or nothing for ever."
SHARE_OVER = "This page is not shared any more."
NO_SUCH_PAGE = "There is no such page."
KEY_MISSING = "This Dreamscope asks for its key. Open the address that it printed when it started, whole."
HOST_UNKNOWN = "Dreamscope does not answer to this name. Open localhost, or allow it with --allowed-hosts."
SHARE_WARNING = (
    "Everybody who has this address with its key can use the models of this machine, and see, change and "
    "delete its history. It ends with Dreamscope."
)
SHARE_OFF = "Dreamscope goes on without one."
PAGE_OFFLINE_SHORT = "Not connected"
PAGE_OFFLINE = "The connection to Dreamscope is lost. Trying again…"

WAITING_FOR_ENGINE = "The engine is not ready yet. The run starts as soon as it is."
ENGINE_SILENT = "The engine stopped answering. What it had written is kept. Trying to reach it again…"
ENGINE_ENDED = "The engine stopped. What it had written is kept."
ENGINE_BACK = "The engine is back. What it had written is kept; run again for a whole answer."

TITLES = {
    "query": "Answer",
    "caption": "Caption",
    "point": "Points",
    "detect": "Boxes",
    "segment": "Outline",
    "gaze": "Gaze",
}
PROMPT_MISSING = {
    "query": "Ask a question about the image.",
    "point": "Name what to point at, for example: dog.",
    "detect": "Name what to find, for example: dog.",
    "segment": "Name what to outline, for example: dog.",
}

_MOVING = "Space and drag moves the image, scrolling zooms."
REFERENCE_HINT = f"Click to place a point, drag to draw a box. {_MOVING}"
GAZE_HINT = f"Click an eye, or drag a box around the face. {_MOVING}"
REFERENCE_KEYS = "Arrow keys move it, with Shift in larger steps. Delete removes it."
REFERENCE_WITHOUT_IMAGE = "Without an image there is no place to refer to."
REFERENCE_STRANGE = "A reference does not lie inside the image."
GAZE_SOURCE_MISSING = "Click an eye in the image, or drag a box around the face."

RUN_GOES_ON = "A run is going on; stop it first."
NOT_KEPT = "The history cannot be written. Runs go on, but they are not kept until there is room again."
KEPT_AGAIN = "The history is written again."

SCHEMA_NO_OBJECT = 'A JSON schema is an object, for example {"type": "object"}.'
MODEL_MISSING = "Choose a model from the list."
NO_MODEL = "No model"
MODEL_STATES = {
    "ready": "On this machine",
    "download": "Downloads when chosen",
    "loading": "Loading",
    "unavailable": "Not available",
    "failed": "Could not be loaded",
}
MODEL_LOADED = "Loaded"
LABELS = {
    "temperature": "Temperature",
    "top_p": "Top-p",
    "max_tokens": "Max tokens",
    "max_objects": "Max objects",
    "seed": "Seed",
}


def loading(model: str, seconds: float, detail: str) -> str:
    """The engine listens, its model is still being read."""
    shown = f" {detail.rstrip('.')}." if detail else ""
    return f"Loading {model}, {seconds:.0f} s.{shown}"


def model_loading(name: str, detail: str, done: float | None) -> str:
    """A run waits until its model is there."""
    share = "" if done is None else f", {done:.0%}"
    shown = f". {detail.rstrip('.')}." if detail else ""
    return f"Loading {name}{share}{shown or '.'}"


def model_note(state: str, loaded: bool, endpoint: str = "") -> str:
    """How near a model of the list is to answering; of one elsewhere, where it is."""
    if endpoint and state == "ready":
        return f"At {endpoint}"
    return MODEL_LOADED if loaded else MODEL_STATES.get(state, state)


def sentence(reason: str) -> str:
    """Why something cannot be, as a sentence of its own."""
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}." if reason else ""


def schema_not_json(reason: str) -> str:
    """The text in the schema's field does not parse."""
    return f"The schema is not JSON: {reason}."


def objects_strange(most: int) -> str:
    """A run that looks for several things at once."""
    return f"Name 2 to {most} different things."


def starting(seconds: float) -> str:
    """The engine process does not listen yet."""
    return f"Starting the engine, {seconds:.0f} s."


def engine_gone(supervised: bool) -> str:
    """The engine went away while nothing ran."""
    return f"The engine stopped. {'Restarting…' if supervised else 'Trying to reach it again…'}"


def engine_unreachable(url: str) -> str:
    """An engine that somebody else runs does not answer."""
    return f"No engine answers at {url}. Trying again…"


def engine_failed(reason: str) -> str:
    """The engine child ended before it was ever ready."""
    return f"The engine could not start: {reason}"


def image_too_big(limit_bytes: int) -> str:
    """A file above the limit of the engine's socket."""
    return f"This file is too large. Up to {limit_bytes / 1e6:.0f} MB can be opened."


def body_too_big(limit_bytes: int) -> str:
    """A body above what a route reads."""
    return f"This is too large. Up to {limit_bytes / 1e6:.0f} MB can be sent."


def setting_range(label: str, allowed: str) -> str:
    """A setting outside its range."""
    return f"{label} must be {allowed}."


def width_strange(widest: float) -> str:
    """The width of the image on the page, for a timeline."""
    return f"width must be a number of pixels from 1 to {widest:.0f}."


def part_strange(parts: int) -> str:
    """A part that the run does not have."""
    return f"part must be a whole number from 0 to {parts - 1}."


def no_such_download(names: tuple[str, ...]) -> str:
    """A file that a run cannot be downloaded as."""
    return f"A run can be downloaded as {', '.join(names)}."
