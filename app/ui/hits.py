"""Text in which the words that were searched for stand out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dreamscope.app.ui.markup import text


def marked(value: str, terms: Sequence[str]) -> str:
    """`value` as escaped HTML, with `<mark>` around the words that begin as one of `terms` does.

    The search also finds other forms of a word and what stands outside of a row; that is not marked.
    """
    wanted = [r"\W+".join(map(re.escape, re.findall(r"\w+", term))) for term in terms]
    found = [term for term in wanted if term]
    if not found:
        return text(value)
    pieces = re.split(rf"(\b(?:{'|'.join(found)})\w*)", value, flags=re.IGNORECASE)
    return "".join(
        f"<mark>{text(piece)}</mark>" if nth % 2 else text(piece) for nth, piece in enumerate(pieces)
    )
