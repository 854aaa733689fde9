"""Why a row was taken out."""

from __future__ import annotations

from typing import NamedTuple

LONGEST = 200
"""Characters of a kind in the ledger."""


class Reason(NamedTuple):
    """What the ledger counts, and what differs from row to row: ("over 500 words", "612")."""

    kind: str
    detail: str = ""

    @property
    def text(self) -> str:
        """As it stands in the column `reason` of the row: `kind: detail`."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def kind_of(reason: Reason | str) -> str:
    """What is counted. Of a sentence (a server's error, say) it is what stands before a colon or a
    bracket; of a Reason it is said."""
    if isinstance(reason, Reason):
        return reason.kind[:LONGEST]
    return reason.split(":", 1)[0].split(" (", 1)[0][:LONGEST]


def text_of(reason: Reason | str) -> str:
    """What is stored beside the row."""
    return reason.text if isinstance(reason, Reason) else reason
