"""Why a row was taken out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

LONGEST = 200
"""Characters of a kind in the ledger."""
MOST_KINDS, OTHERS = 100, "other reasons"
"""Kinds of one filter that are told apart: a reason may be a user's own, and new in every row."""


class Reason(NamedTuple):
    """What the ledger counts, and what differs from row to row: ("over 500 words", "612")."""

    kind: str
    detail: str = ""

    @property
    def text(self) -> str:
        """As it stands in the column `reason` of the row: `kind: detail`."""
        return text_of(self)


def kind_of(reason: Reason | str) -> str:
    """What is counted. Of a sentence (a server's error, say) it is what stands before a colon or a
    bracket; of a Reason it is said."""
    if isinstance(reason, Reason):
        return reason[0][:LONGEST]
    return reason.split(":", 1)[0].split(" (", 1)[0][:LONGEST]


def count_kinds(counts: Counter[str], reasons: Sequence[Reason | str]) -> None:
    """Add to the ledger's counts; beyond MOST_KINDS, what was not met before counts as OTHERS."""
    for kind, rows in Counter(map(kind_of, reasons)).items():
        known = kind in counts or len(counts) < MOST_KINDS
        counts[kind if known else OTHERS] += rows


def text_of(reason: Reason | str) -> str:
    """What is stored beside the row."""
    if isinstance(reason, Reason):
        kind, detail = reason
        return f"{kind}: {detail}" if detail else kind
    return reason
