"""Text in a chart: escaped, cut, and broken into lines, by its approximate width."""

from __future__ import annotations

import re
import unicodedata
from html import escape

LETTER = 6.1
"""Mean width of a letter at 11 px, in px."""
_ACTING = ("Cc", "Cf", "Cs")
"""Unicode categories of invisible characters that take effect: control, direction, surrogates."""


def text(value: str) -> str:
    """Escaped for XML; what XML does not allow, and what would reorder text, becomes U+FFFD."""
    return escape("".join(c if _shown(c) else "\ufffd" for c in value), quote=True)


def _shown(c: str) -> bool:
    if c in "\t\n\u200c\u200d":  # the last two join letters, in emoji and in Persian
        return True
    return unicodedata.category(c) not in _ACTING and ord(c) & 0xFFFE != 0xFFFE


def breadth(value: str) -> int:
    """Its width in letters: Chinese, Japanese and Korean characters count as two."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in value)


def short(value: str, letters: int) -> str:
    """Cut to this width in letters, with an ellipsis if it was longer."""
    if len(value) <= letters and breadth(value) <= letters:
        return value
    taken, kept = 0, ""
    for c in value[: max(1, letters - 1)]:
        taken += breadth(c)
        if taken > letters - 1 and kept:
            break
        kept += c
    return kept + "…"


def wrapped(label: str, width: float, lines: int = 3) -> list[str]:
    """At most this many lines that fit into `width` px, broken after spaces, hyphens and the like."""
    letters = max(4, int(width / LETTER))
    pieces = re.findall(r"[^\s_/.\-]+[\s_/.\-]*|[\s_/.\-]+", label[: 4 * letters * lines])
    found = [""]
    for piece in pieces:
        if found[-1] and breadth(found[-1] + piece.rstrip()) > letters:
            found.append("")
        found[-1] += piece
    if len(found) > lines:
        found = [*found[: lines - 1], "".join(found[lines - 1 :])]
    return [short(line.strip(), letters) for line in found]
