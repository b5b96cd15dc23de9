"""The inspector: its skeleton and the sentences that its script shows. The figures come from the engine."""

from __future__ import annotations

from dreamscope.app.ui.markup import attributes, text
from dreamscope.app.ui.template import fill, words_attribute

HINT = "Point at a step, or click one to hold the picture."
HELP = (
    "Left and right arrow choose the step before or after and hold the picture, Home and End the first and "
    "the last, plus and minus zoom, Escape goes on."
)
_LEGEND = (
    ("decode", "Decode"),
    ("prefill", "Prefill"),
    ("bubble", "Bubble: the device waits for the host"),
    ("zombie", "Zombie: rows that had ended"),
    ("launch", "Launch"),
    ("mask", "Mask"),
    ("wait", "Wait"),
    ("commit", "Commit"),
)
_CHARTS = (
    ("tokens", "Tokens per second"),
    ("rows", "Rows a step"),
    ("waiting", "Waiting requests"),
    ("hits", "Prompt from the cache"),
)
_WORDS = {
    "states": {
        "starting": "is starting",
        "ready": "working",
        "idle": "idle",
        "paused": "paused",
        "draining": "finishing its last requests",
        "dead": "has stopped",
        "stopped": "has stopped",
    },
    "held": "picture held",
    "waiting": "Waiting for the engine.",
    "idle": "Nothing runs. Ask something, and its steps appear here.",
    "dead": "The engine stopped: {reason}",
    "unloaded": "{model} is not loaded, so there is nothing to see yet.",
    "loading": "{model} is being loaded.",
    "pause": "Pause",
    "go_on": "Go on",
    "depth": {
        "auto": "Auto overlaps where that pays: {depth} in flight now.",
        "1": "The device waits while the host commits and launches: the gaps are bubbles.",
        "2": "The next step is on the device before the last one is committed.",
    },
    "busy": "of the last {seconds} s with work, {bubble} bubbles",
    "busy_none": "No work in the last {seconds} s.",
    "forecast": {
        "none": "Needs a few decode steps of one batch size.",
        "device": "{rows} rows a step. The host's {host} ms fit under the device's {device} ms: "
        "with two in flight they cost nothing.",
        "host": "{rows} rows a step. The host's {host} ms are more than the device's {device} ms: "
        "even with two in flight the device waits for the host.",
        "switch": "Switch between 1 and 2 to measure both under like conditions.",
    },
    "rows": {"one": "{n} row", "many": "{n} rows"},
    "pages": "{private} positions in use, {cached} cached, {free} free",
    "kinds": {"decode": "Decode", "prefill": "Prefill"},
    "step": "{kind} {index}",
    "spoken": "{kind} step {index}, slot {slot}, {rows}, {device} milliseconds on the device, "
    "{idle} of bubble before.",
    "facts": {
        "slot": "slot {slot}, depth {depth}",
        "positions": {"one": "{n} position", "many": "{n} positions"},
        "zombies": {"one": "{n} zombie", "many": "{n} zombies"},
        "device": "device",
        "launch": "launch",
        "mask": "mask",
        "wait": "wait",
        "commit": "commit",
        "idle": "bubble before",
    },
    "others": {"one": "one request of somebody else", "many": "{n} requests of others"},
    "more": "and {n} more",
    "table": {
        "model": "Model",
        "state": "State",
        "depth": "Steps that may be in flight",
        "in_flight": "Steps in flight",
        "running": "Requests with a row",
        "waiting": "Requests waiting",
        "pages_free": "KV positions free",
        "pages_cached": "KV positions cached",
        "pages_private": "KV positions in use",
        "evictions": "KV positions evicted",
        "hit_positions": "Prompt positions found in the cache",
        "prompt_positions": "Prompt positions",
        "images_cached": "Images cached",
        "adapters_used": "Adapters in memory",
        "completed": "Requests completed",
        "cancelled": "Requests cancelled",
        "failed": "Requests failed",
        "input_tokens": "Tokens in",
        "output_tokens": "Tokens out",
        "cached_tokens": "Tokens from the cache",
        "prefill_steps": "Prefill steps",
        "decode_steps": "Decode steps",
        "zombie_rows": "Zombie rows",
        "device_ms": "Device time, ms",
        "idle_ms": "Bubbles, ms",
    },
    "lanes": {"device": "device", "host": "host", "slots": ["slot 0", "slot 1"]},
    "ago": "{seconds} s ago",
    "now": "now",
}


def pipeline_html() -> str:
    """The whole view, one `<main data-view="pipeline">`."""
    return fill(
        "pipeline.html",
        {
            "words": words_attribute(_WORDS),
            "help": text(HELP),
            "hint": text(HINT),
            "legend": "".join(_colour(*row) for row in _LEGEND),
            "charts": "".join(_chart(*row) for row in _CHARTS),
        },
    )


def _colour(name: str, said: str) -> str:
    return f'<li><i {attributes(data_part=name)} aria-hidden="true"></i>{text(said)}</li>'


def _chart(name: str, said: str) -> str:
    paths = '<path class="fill"/><path class="line"/>'
    line = f'<svg viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true">{paths}</svg>'
    return f"<div {attributes(data_chart=name)}><h3>{text(said)}</h3><b>–</b>{line}</div>"
