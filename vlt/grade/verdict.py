"""What a grader says, and the debatable conventions a user may turn.

Nothing here knows how a verdict is found; see `vlt/grade/__init__.py` for the rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

Verdict = Literal["correct", "wrong", "unjudged"]
Outcome = tuple[bool | None, str]
"""Equal or not (None: not found in time), and which rule said so."""


class Grade(NamedTuple):
    """The verdict on one response."""

    verdict: Verdict
    """correct, wrong, or unjudged (no gold answer, or the symbolic tier ran out of time)."""
    predicted: str | None
    """What the response answered, as written there; None when it gave no final answer."""
    reason: str
    """Which rule decided, in a few words: 'same text', 'another unit', 'no final answer'."""


@dataclass(frozen=True)
class Options:
    """Debatable conventions. All are off (strict) unless asked for.

    They are part of a verification's identity: another value, another dataset version.
    """

    relative_tolerance: float = 0.0
    """Numbers within this share of gold are right. ChartQA's relaxed accuracy is 0.05."""
    decimals_of_exact: bool = False
    """0.333 is right for 1/3: a decimal of at least three places that exact gold rounds to."""
    convert_units: bool = False
    """500 cm is right for 5 m; 90 minutes for 1.5 hours."""
    clock_24h: bool = False
    """15:30 is right for 3:30 PM."""
    plurals: bool = False
    """cats is right for cat."""
    percent: Literal["share", "sign", "loose"] = "share"
    """share: the sign is optional where gold has it or the question asks for a percentage, and 25 %
    is 0.25; sign: 25 % is only 25 %; loose: 25 %, 25 and 0.25 are the same."""
    prose: Literal["off", "last_line", "last_number"] = "off"
    """Where a response states no answer: nothing, its last line or its last number (base models)."""
    languages: str = "all"
    """Whose words for "the answer is" are read: all, or codes with commas between them (en,zh)."""
    deadline: float = 1.0
    """Seconds of wall time that the symbolic tier has for one row."""

    def __post_init__(self) -> None:
        """Raises ValueError for a value that a convention does not take."""
        from vlt.grade.phrases import LANGUAGES

        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}"
                )
        for name in ("relative_tolerance", "deadline"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 <= value < 1e6
            ):
                raise ValueError(f"{name}={value!r} should be a number from 0 on")
        unknown = {*re.split(r"[,+]", self.languages)} - {"all", *LANGUAGES}
        if unknown:
            raise ValueError(
                f"languages={self.languages!r}: {', '.join(sorted(unknown))} is not known; take all or some "
                f"of {', '.join(LANGUAGES)}, joined by +"
            )

    @classmethod
    def read(cls, text: str) -> Options:
        """The conventions of `relative_tolerance=0.05,percent=loose`; raises ValueError."""
        defaults = {field.name: field.default for field in fields(cls)}
        values: dict[str, Any] = {}
        for part in text.split(","):
            name, sign, value = (piece.strip() for piece in part.partition("="))
            if name not in defaults or not sign:
                raise ValueError(f"{name!r} is no convention; there are {', '.join(defaults)}")
            default = defaults[name]
            if isinstance(default, bool):
                if value not in ("true", "false"):
                    raise ValueError(f"{name}={value} should be true or false")
                values[name] = value == "true"
            elif isinstance(default, float):
                try:
                    values[name] = float(value)
                except ValueError:
                    raise ValueError(f"{name}={value} should be a number") from None
            else:
                values[name] = value
        return cls(**values)

    def __str__(self) -> str:
        """As a grader is named: vlt, or vlt:KEY=VALUE with what differs from the defaults."""
        said = ",".join(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}".replace(",", "+")
            for name, value in self.as_json().items()
        )
        return f"vlt:{said}" if said else "vlt"

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults; {} for none, so that old identities stay."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "deadline" and getattr(self, field.name) != field.default
        }


_ALLOWED = {
    "percent": ("share", "sign", "loose"),
    "prose": ("off", "last_line", "last_number"),
}
STRICT = Options()
