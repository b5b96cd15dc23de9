"""The buttons of a replay as markup; `static/replay.js` drives them and says nothing that is not in here."""

from __future__ import annotations

from fractions import Fraction

SPEEDS = ("1/16", "1/8", "1/4", "1/2", "1", "2", "4", "8", "16")
_ICON = '<svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">'
_PLAY = f'{_ICON}<path d="M6.5 4.3v11.4l9-5.7z" fill="currentColor"/></svg>'
_PAUSE = f'{_ICON}<path d="M5.5 4.5h3.2v11H5.5zM11.3 4.5h3.2v11h-3.2z" fill="currentColor"/></svg>'
_BACK = f'{_ICON}<path d="M5.5 5.5h1.8v9H5.5zM14.5 5.5v9L8.3 10z" fill="currentColor"/></svg>'
_ON = f'{_ICON}<path d="M12.7 5.5h1.8v9h-1.8zM5.5 5.5v9l6.2-4.5z" fill="currentColor"/></svg>'


def controls() -> str:
    """`div.replay`, hidden until a script makes it work: play or pause, an event back or on, the position,
    the time, the speed.
    """
    speeds = "".join(_speed(written) for written in SPEEDS)
    return (
        '<div class="replay" role="group" aria-label="Replay" data-play="Play" data-pause="Pause"'
        ' data-unit="s" hidden>'
        '<button type="button" class="replay-play" aria-label="Play">'
        f'<span class="replay-icon-play">{_PLAY}</span>'
        f'<span class="replay-icon-pause">{_PAUSE}</span></button>'
        '<button type="button" class="replay-step" data-by="-1" aria-label="One event back"'
        f' title="One event back (,)">{_BACK}</button>'
        '<button type="button" class="replay-step" data-by="1" aria-label="One event on"'
        f' title="One event on (.)">{_ON}</button>'
        '<input type="range" class="replay-at" min="0" max="500" step="1" value="500"'
        ' aria-label="Position in the replay">'
        '<output class="replay-time"></output>'
        f'<select class="replay-speed" aria-label="Speed of the replay">{speeds}</select></div>'
    )


def _speed(written: str) -> str:
    chosen = " selected" if written == "1" else ""
    return f'<option value="{float(Fraction(written)):g}"{chosen}>{written}×</option>'
