"""Rows of the history: summaries as escaped `<li>`, styled by `history.css`, brought to life by `history.js`.

li.run-row[data-id][data-state]          .pinned, if it is; data-comparison, if it is part of one
    label.run-pick > input[type=checkbox]
    a.run-link[href="/?run=ID"]          opens the run; a link, so that keyboards and new tabs work
        img.run-thumb                    or span.run-thumb where there is no image
        span.run-title                   the title, else what was asked, else the skill
        span.run-answer                  the beginning of the answer, without a name for the reader of titles;
                                         in both `mark` around what was searched for
    div.run-meta
        span.run-state                   only if the run is not simply done
        span.tag                         the first three, then span.run-more "+2"
        span.run-skill, span.run-model
        time[datetime]                   in UTC; the page writes the reader's own time into it
    button.run-pin[aria-pressed]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dreamscope.app.store.kinds import Summary
from dreamscope.app.ui.hits import marked
from dreamscope.app.ui.icons import icon
from dreamscope.app.ui.markup import attributes, text

SHOWN_TAGS = 3
STATES = {
    "queued": "Waiting",
    "running": "Running",
    "stopped": "Stopped",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
"""States in words; that a run is done goes without saying."""
SKILLS = {
    "query": "Query",
    "caption": "Caption",
    "point": "Point",
    "detect": "Detect",
    "segment": "Segment",
    "gaze": "Gaze",
    "chat": "Chat",
}


def rows_html(runs: Iterable[Summary], terms: Sequence[str] = ()) -> str:
    """One `<li>` per run, with the `terms` of a search marked in it."""
    return "".join(row_html(run, terms) for run in runs)


def row_html(run: Summary, terms: Sequence[str] = ()) -> str:
    """One run. Nothing in it is markup but what is written here."""
    said = attributes(
        class_="run-row pinned" if run.pinned else "run-row",
        data_id=run.id,
        data_state=run.state,
        data_comparison=run.comparison or False,
    )
    return f"<li {said}>{_pick(run)}{_link(run, terms)}{_meta(run)}{_pin(run)}</li>"


def name_of(run: Summary) -> str:
    """What the run is called: its title, else what was asked, else the skill."""
    return run.title or run.prompt or SKILLS.get(run.skill, run.skill)


def _pick(run: Summary) -> str:
    box = attributes(type="checkbox", tabindex="-1", aria_label=f"Select {name_of(run)}")
    return f'<label class="run-pick"><input {box}></label>'


def _link(run: Summary, terms: Sequence[str]) -> str:
    opened = attributes(class_="run-link", href=f"/?run={run.id}")
    if run.image:
        picture = attributes(
            class_="run-thumb", src=f"/api/images/{run.image}/thumb", alt="", loading="lazy", decoding="async"
        )
        thumb = f"<img {picture}>"
    else:
        thumb = '<span class="run-thumb"></span>'
    title = f'<span class="run-title"><bdi>{marked(name_of(run), terms)}</bdi></span>'
    answer = " ".join(run.answer.split())
    return f'<a {opened}>{thumb}{title}<span class="run-answer"><bdi>{marked(answer, terms)}</bdi></span></a>'


def _meta(run: Summary) -> str:
    pieces = []
    if run.state in STATES:
        pieces.append(f'<span class="run-state">{STATES[run.state]}</span>')
    pieces += [f'<span class="tag"><bdi>{text(tag)}</bdi></span>' for tag in run.tags[:SHOWN_TAGS]]
    if more := len(run.tags) - SHOWN_TAGS:
        pieces += [f'<span class="run-more">+{more}</span>'] if more > 0 else []
    pieces.append(f'<span class="run-skill">{text(SKILLS.get(run.skill, run.skill))}</span>')
    named = f"{run.model_name} + {run.variant}" if run.variant else run.model_name
    pieces.append(f'<span class="run-model"><bdi>{text(named)}</bdi></span>')
    time = attributes(datetime=run.created_at)
    pieces.append(f"<time {time}>{text(run.created_at[:16].replace('T', ' '))}</time>")
    return f'<div class="run-meta">{"".join(pieces)}</div>'


def _pin(run: Summary) -> str:
    button = attributes(
        class_="run-pin",
        type="button",
        tabindex="-1",
        aria_pressed="true" if run.pinned else "false",
        aria_label=f"Pin {name_of(run)}",
        title="Pin",
    )
    return f"<button {button}>{icon('pin')}</button>"
