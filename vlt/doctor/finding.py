"""What a check found: one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    what: str
    """The thing: Python, GPU, Hub, server, ..."""
    state: State
    says: str
    """What was found, in one sentence without a full stop."""
    do: str = ""
    """What to do about it; "" if nothing."""

    @property
    def line(self) -> str:
        """What was found, and what to do."""
        return f"{self.says}; {self.do}" if self.do else self.says


def ok(what: str, says: str) -> Finding:
    """It is as it should be."""
    return Finding(what, "ok", says)


def warning(what: str, says: str, do: str = "") -> Finding:
    """It may cause trouble, or only for some commands."""
    return Finding(what, "warning", says, do)


def broken(what: str, says: str, do: str) -> Finding:
    """It will not work like this."""
    return Finding(what, "broken", says, do)
