"""What tokens cost, and a budget that is never exceeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlt.errors import UsageError, UserError
from vlt.request import Message, Sampling

if TYPE_CHECKING:
    from vlt.engine.reply import Reply

BUNDLED = Path(__file__).with_name("prices.yaml")
MILLION = 1_000_000
TOKENS_AN_IMAGE = 3_000
"""Assumed until a reply has reported more."""
_LINE = "`gpt-4o-mini: {prompt: 0.15, completion: 0.6}`, dollars per million tokens"


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / MILLION


def price_of(model: str, file: Path | None = None) -> Price | None:
    """The price of the first pattern that matches the model's name, in `file` or else in ours.

    Raises UserError if the file is not a price list, whatever the model.
    """
    import yaml

    path = file or BUNDLED
    try:
        listed = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _no_list(path, type(error).__name__) from error
    if not isinstance(listed, dict):
        raise _no_list(path, "it has no model names")
    prices = {str(name): _price(path, name, price) for name, price in listed.items()}
    return next((price for name, price in prices.items() if fnmatchcase(model, name)), None)


def _price(path: Path, name: Any, price: Any) -> Price:
    if not isinstance(price, dict) or set(price) != {"prompt", "completion"}:
        raise _no_list(path, f"{name!r} is {price!r}")
    for kind, dollars in price.items():
        number = isinstance(dollars, int | float) and not isinstance(dollars, bool)
        if not number or not isfinite(dollars) or dollars < 0:
            raise UserError(
                f"--prices {str(path)!r}: the {kind} price of {name!r} is {dollars!r}; write a number "
                "of dollars per million tokens, 0 or more"
            )
    return Price(**price)


def _no_list(path: Path, why: str) -> UserError:
    return UserError(
        f"--prices {str(path)!r} is not a price list ({why}); write lines such as {_LINE}"
    )


class Budget:
    """Money that a run may spend: the amount spent, and what requests in flight may still cost."""

    def __init__(self, limit: float, price: Price):
        if not isfinite(limit):
            raise UsageError(f"--budget {limit} is not a number of dollars; write e.g. --budget 5")
        self.limit, self.price = limit, price
        self.spent = 0.0
        self.reserved = 0.0
        self.uncounted = 0
        """Replies without token counts from the server; each is counted at its upper bound."""
        self._longest_prompt = 0

    def bound(self, messages: Sequence[Message], samples: int, sampling: Sampling) -> float:
        """The most that a request may cost: all tokens that it may write, and one per byte of prompt."""
        tokens = max(self._longest_prompt, sum(_max_tokens(m["content"]) for m in messages))
        return self.price.of(tokens, samples * _limit(sampling))

    def takes(self, cost: float) -> bool:
        """Whether a request of this cost would still be within the budget."""
        return self.spent + self.reserved + cost <= self.limit

    def replied(self, reply: Reply, bound: float) -> None:
        """Count a reply; if it has no token counts, its request costs `bound`."""
        if not reply.counted:
            self.uncounted += 1
            self.spent += bound
            return
        self._longest_prompt = max(self._longest_prompt, reply.prompt_tokens)
        self.spent += self.price.of(reply.prompt_tokens, reply.completion_tokens)

    def used_up(self, cost: float) -> UserError:
        """The error to raise when the next request does not fit and nothing is in flight."""
        if not self.spent:
            return UserError(
                f"--budget {self.limit:g} is too small: the first request may cost ${cost:.4f}; give a "
                "larger one, or a smaller --max-tokens"
            )
        bounds = (
            f" (the server gave no token counts for {self.uncounted:,} of its replies; they were counted "
            "at their upper bounds)"
            if self.uncounted
            else ""
        )
        return UserError(
            f"--budget {self.limit:g} is used up: ${self.spent:.4f} spent in this run{bounds}, and the "
            f"next request may cost ${cost:.4f}; run the same command with a larger budget to continue"
        )


def _limit(sampling: Sampling) -> int:
    """Maximum tokens of one response; `extra` takes precedence."""
    given = [sampling.extra.get(name) for name in ("max_tokens", "max_completion_tokens")]
    return max([int(n) for n in given if isinstance(n, int | float)] or [sampling.max_tokens])


def _max_tokens(content: str | list[dict[str, str]]) -> int:
    if isinstance(content, str):
        return len(content.encode(errors="replace"))
    return sum(TOKENS_AN_IMAGE if b["type"] == "image" else _max_tokens(b["text"]) for b in content)
