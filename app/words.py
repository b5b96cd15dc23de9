"""Every sentence the page says about its own state. Short, concrete, no exclamation marks.

What a run says about itself is worded in `visualizers/words.py`.
"""

from __future__ import annotations

EMPTY = "Drop an image here, paste one, or start from a scene."

STREAM_HINT = (
    "The reasoning and the answer arrive here. Point at an underlined word to see its place in the image."
)

ENGINE_READY = "Ready"
ENGINE_STARTING = "Starting"
ENGINE_RESTARTING = "Restarting"
ENGINE_UNREACHABLE = "No engine"
ENGINE_FAILED = "Engine failed"

IMAGE_MISSING = "Choose an image first: open one, drop it here, or pick a scene."
IMAGE_UNREADABLE = "This file is not an image that can be opened. Use JPEG, PNG, WebP or GIF."
IMAGE_NOT_FOUND = "This scene is not here any more."
PAGE_OFFLINE_SHORT = "Not connected"
PAGE_OFFLINE = "The connection to Dreamscope is lost. Trying again…"

WAITING_FOR_ENGINE = "The engine is not ready yet. The run starts as soon as it is."
ENGINE_SILENT = "The engine stopped answering. What it had written is kept. Trying to reach it again…"
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

_MOVING = "Space and drag, the middle button or the hand move the image; scroll or pinch zooms."
REFERENCE_HINT = f"Click to place a point, drag to draw a box. {_MOVING}"
GAZE_HINT = f"Click an eye, or drag a box around the face. {_MOVING}"
REFERENCE_KEYS = "Arrow keys move it, with Shift in larger steps. Delete removes it."
REFERENCE_STRANGE = "A reference does not lie inside the image."
GAZE_SOURCE_MISSING = "Click an eye in the image, or drag a box around the face."

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


def model_note(state: str, loaded: bool) -> str:
    """How near a model of the list is to answering."""
    return MODEL_LOADED if loaded else MODEL_STATES.get(state, state)


def sentence(reason: str) -> str:
    """Why something cannot be, as a sentence of its own."""
    return f"{reason[:1].upper()}{reason[1:].rstrip('.')}." if reason else ""


def schema_not_json(reason: str) -> str:
    """The text in the schema's field does not parse."""
    return f"The schema is not JSON: {reason}."


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


def setting_range(label: str, allowed: str) -> str:
    """A setting outside its range."""
    return f"{label} must be {allowed}."
