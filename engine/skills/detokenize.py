"""Token ids to text, piece by piece, such that the pieces add up to the decoded whole.

A token of the byte-level vocabulary may end inside a character; the decoder then shows U+FFFD. Only the
tokens since the last complete character are decoded again, so a piece costs the same wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable

REPLACEMENT = "\ufffd"
_CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x2F800, 0x2FA1F))


class Detokenizer:
    """Decodes one text incrementally. `cut` says how much of the pending text may be handed out."""

    def __init__(self, decode: Callable[[list[int]], str], cut: Callable[[str], int]) -> None:
        self._decode = decode
        self._cut = cut
        self._settled = ""  # complete characters not handed out yet
        self._tail: list[int] = []  # ids after them, ending inside a character
        self._tail_printed = 0  # characters of the decoded tail that were handed out
        self.handed_out = 0
        """Code points handed out so far."""
        self.decoded = 0
        """Code points decoded so far, handed out or not; a character that is not complete does not count."""

    @property
    def unfinished(self) -> bool:
        """Whether the last token ends inside a character."""
        return bool(self._tail)

    def push(self, token_id: int) -> str:
        """Add a token; returns the text that may now be shown, often empty."""
        self._tail.append(token_id)
        tail = self._decode(self._tail)
        pending = self._settled + tail[self._tail_printed :]
        cut = self._cut(pending)
        self.decoded = self.handed_out + len(pending.rstrip(REPLACEMENT))
        if not tail.endswith(REPLACEMENT):
            self._settled = pending[cut:]
            self._tail.clear()
            self._tail_printed = 0
        elif cut:
            self._tail_printed += max(0, cut - len(self._settled))
            self._settled = self._settled[cut:]
        self.handed_out += cut
        return pending[:cut]

    def flush(self) -> str:
        """End the text: everything held back, with U+FFFD for a character that never became complete."""
        rest = self._settled + self._decode(self._tail)[self._tail_printed :]
        self._settled = ""
        self._tail.clear()
        self._tail_printed = 0
        self.handed_out += len(rest)
        self.decoded = self.handed_out
        return rest


def word_cut(pending: str) -> int:
    """Cut like the published stream: after a line, after CJK characters, else after the last space."""
    if not pending:
        return 0
    last = ord(pending[-1])
    if pending[-1] == "\n" or any(low <= last <= high for low, high in _CJK):
        return len(pending)
    return pending.rfind(" ") + 1


def code_point_cut(pending: str) -> int:
    """Cut as late as possible: only a trailing U+FFFD may still change and is held back."""
    return len(pending.rstrip(REPLACEMENT))
