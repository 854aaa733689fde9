"""Why a row was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

LONGEST = 200
"""Maximum characters of a kind in the ledger."""
MOST_KINDS, OTHERS = 100, "other reasons"
"""Maximum kinds counted per filter: a user's own reason may be different in every row."""


class Reason(NamedTuple):
    """What the ledger counts, and what differs from row to row: ("over 500 words", "612")."""

    kind: str
    detail: str = ""

    @property
    def text(self) -> str:
        """The text in the column `reason` of the row: `kind: detail`."""
        return text_of(self)


def kind_of(reason: Reason | str) -> str:
    """The part that is counted: for text (such as a server's error) everything before a colon or a
    bracket; a Reason gives it explicitly."""
    if isinstance(reason, Reason):
        return reason[0][:LONGEST]
    return reason.split(":", 1)[0].split(" (", 1)[0][:LONGEST]


def count_kinds(counts: Counter[str], reasons: Sequence[Reason | str]) -> None:
    """Add to the ledger's counts; after MOST_KINDS, new kinds are counted as OTHERS."""
    for kind, rows in Counter(map(kind_of, reasons)).items():
        known = kind in counts or len(counts) < MOST_KINDS
        counts[kind if known else OTHERS] += rows


def text_of(reason: Reason | str) -> str:
    """The text stored with the row."""
    if isinstance(reason, Reason):
        kind, detail = reason
        return f"{kind}: {detail}" if detail else kind
    return reason
