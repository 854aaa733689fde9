"""What a grader returns, and the debatable conventions that a user may change.

Nothing here knows how a verdict is reached; see `vlt/grade/__init__.py` for the rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

Verdict = Literal["correct", "wrong", "unjudged"]
Outcome = tuple[bool | None, str]
"""Whether equal (None: undecided in time), and the rule that decided."""


class Grade(NamedTuple):
    """The verdict on one response."""

    verdict: Verdict
    """correct, wrong, or unjudged (no gold answer, or the symbolic tier ran out of time)."""
    predicted: str | None
    """What the response answered, as written there; None if it gave no final answer."""
    reason: str
    """Which rule decided, in a few words: 'same text', 'another unit', 'no final answer'."""


@dataclass(frozen=True)
class Options:
    """Debatable conventions. All are off (strict) by default.

    They are part of a verification's identity: a different value gives a different dataset version.
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
    """share: the sign is optional if gold has it or the question asks for a percentage, and 25 %
    is 0.25; sign: 25 % is only 25 %; loose: 25 %, 25 and 0.25 are the same."""
    prose: Literal["off", "last_line", "last_number"] = "off"
    """What to read if a response states no answer: nothing, its last line or last number (base models)."""
    languages: str = "all"
    """Languages whose words for "the answer is" are read: all, or codes joined by + (en+zh)."""
    deadline: float = 1.0
    """Wall time in seconds that the symbolic tier has for one row."""

    def __post_init__(self) -> None:
        """Raises ValueError for an invalid value."""
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
                raise ValueError(f"{name}={value!r} should be a number of at least 0")
        unknown = {*re.split(r"[,+]", self.languages)} - {"all", *LANGUAGES}
        if unknown:
            raise ValueError(
                f"languages={self.languages!r}: {', '.join(sorted(unknown))} is not known; use all, or some "
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
                raise ValueError(f"{name!r} is not a convention; choose from {', '.join(defaults)}")
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
        """As the grader's name: vlt, or vlt:KEY=VALUE with whatever differs from the defaults."""
        said = ",".join(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}".replace(",", "+")
            for name, value in self.as_json().items()
        )
        return f"vlt:{said}" if said else "vlt"

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults; {} if nothing, so that old identities stay the same."""
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
