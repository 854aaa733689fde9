"""How values and untrusted text are shown on the page."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

MAX_CHARACTERS = 2_000
"""Of a text."""


def visible(value: Any, most: int = MAX_CHARACTERS, whole: int | None = None) -> str:
    """A model's text for a page: cut with a note, and without invisible characters that take effect.

    Control and direction characters (U+202E reverses a line) are written as their code points, except
    for the two that join letters in Persian and in emoji. Escaping for HTML is left to the template.
    `whole` is the text's original length if it was cut before.
    """
    text = "" if value is None else str(value)
    length = max(whole or 0, len(text))
    shown = "".join(c if _harmless(c) else f"[U+{ord(c):04X}]" for c in text[:most])
    return shown if length <= most else f"{shown} … (cut; {length:,} characters in all)"


def _harmless(c: str) -> bool:
    return c in "\n\t\u200c\u200d" or unicodedata.category(c) not in _ACTING


_ACTING = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def percent(value: float | None, digits: int = 1) -> str:
    """A share."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def interval(score: dict[str, Any]) -> str:
    """value [low, high] of a score, in percent."""
    return f"{100 * score['value']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def count(value: float | None, digits: int = 0) -> str:
    """A number with thousands separators."""
    return "–" if value is None else f"{value:,.{digits}f}"


def duration(seconds: float | None) -> str:
    """Seconds in a readable unit."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def money(value: float | None) -> str:
    """Dollars."""
    if value is None:
        return "–"
    return f"${value:,.2f}" if value >= 0.1 else f"${value:.2g}"


def chance(p: float) -> str:
    """A p value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def settings(parameters: dict[str, Any]) -> str:
    """Parameters as indented JSON."""
    return visible(json.dumps(parameters, indent=1, ensure_ascii=False, default=str), 20_000)
