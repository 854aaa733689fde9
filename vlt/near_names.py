"""Names close to one that does not exist, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 3
CUTOFF = 0.6
"""How similar names must be, from 0 to 1 (see difflib)."""


def near_names(
    name: str, known: Iterable[str], *, most: int = MOST, cutoff: float = CUTOFF
) -> list[str]:
    """Up to `most` of the known names that are close to this one, the closest first."""
    return difflib.get_close_matches(name, list(known), most, cutoff)


def did_you_mean(name: str, known: Iterable[str], *, most: int = MOST) -> str:
    """`did you mean samples`, `did you mean a, b or c`; "" if no known name is close."""
    *others, last = near_names(name, known, most=most) or [""]
    if not last:
        return ""
    return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}"
