"""What was deleted a short while ago and can be restored, as rows; `history_deleted.js` brings them to life.

li[data-token][data-until]      until when, in UTC
    bdi                         the name of the newest run
    time[datetime]              the same moment; the page writes the reader's own time into it
    button[data-do=restore]
"""

from __future__ import annotations

from collections.abc import Iterable

from dreamscope.app.store.kinds import Deletion
from dreamscope.app.ui.markup import attributes, text


def deleted_html(deletions: Iterable[Deletion]) -> str:
    """One `<li>` per deletion."""
    return "".join(map(_row, deletions))


def _row(deletion: Deletion) -> str:
    more = f" and {deletion.runs - 1} more" if deletion.runs > 1 else ""
    row = attributes(data_token=deletion.token, data_until=deletion.until)
    button = attributes(
        class_="text", type="button", data_do="restore", aria_label=f"Restore {deletion.name}{more}"
    )
    time = f"<time {attributes(datetime=deletion.until)}>{text(deletion.until[11:16])} UTC</time>"
    what = "is deleted; it" if deletion.runs == 1 else "are deleted; they"
    said = f"“<bdi>{text(deletion.name)}</bdi>”{more} {what} can be restored until {time}."
    return f"<li {row}><span>{said}</span><button {button}>Restore</button></li>"
