"""The one escape: every model or user string passes here once on its way into HTML, SVG or XML."""

from __future__ import annotations

import html
import re

# Code points that XML 1.0 does not allow anywhere, not even as character references.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def clean(text: str) -> str:
    """`text` without the characters that are illegal or discouraged in XML.

    Enough on its own where a serialiser escapes by itself (`svgwrite`), since escaping twice would show.
    """
    return _ILLEGAL.sub("", text)


def escape(text: str) -> str:
    """`text` safe as HTML or XML character data and inside a single- or double-quoted attribute."""
    return inert(html.escape(clean(text), quote=True))


def inert(markup: str) -> str:
    """`markup` with `$` and the backtick as character references.

    The same markup, but harmless where a page component pastes it into a JavaScript template literal.
    """
    return markup.replace("$", "&#36;").replace("`", "&#96;")
