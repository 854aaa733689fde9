"""What tokens cost, and a budget that is not passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from vlt.errors import UserError
from vlt.request import Message

BUNDLED = Path(__file__).with_name("prices.yaml")
MILLION = 1_000_000
TOKENS_AN_IMAGE = 3_000
"""Assumed until a reply has said more."""


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / MILLION


def price_of(model: str, file: Path | None = None) -> Price | None:
    """The price of the first pattern that fits the model's name, in `file` or else in ours.

    Raises UserError where the file is not a price list.
    """
    import yaml

    path = file or BUNDLED
    try:
        listed = yaml.safe_load(path.read_text())
        prices = {str(name): Price(**price) for name, price in listed.items()}
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise UserError(
            f"--prices {str(path)!r} is not a price list ({type(error).__name__}); write lines such as "
            "`gpt-4o-mini: {prompt: 0.15, completion: 0.6}`, dollars for a million tokens"
        ) from error
    return next((price for name, price in prices.items() if fnmatchcase(model, name)), None)


class Purse:
    """Money that a run may spend: what is spent, and what requests in flight may still cost."""

    def __init__(self, budget: float, price: Price):
        self.budget, self.price = budget, price
        self.spent = 0.0
        self.reserved = 0.0
        self._longest_prompt = 0

    def most(self, messages: Sequence[Message], samples: int, max_tokens: int) -> float:
        """The most that a request may cost: all tokens that it may write, a token a character read."""
        tokens = max(self._longest_prompt, sum(_most_tokens(m["content"]) for m in messages))
        return self.price.of(tokens, samples * max_tokens)

    def takes(self, cost: float) -> bool:
        """Whether a request that costs so much would still be within the budget."""
        return self.spent + self.reserved + cost <= self.budget

    def spend(self, prompt_tokens: int, completion_tokens: int) -> None:
        """A reply has come."""
        self._longest_prompt = max(self._longest_prompt, prompt_tokens)
        self.spent += self.price.of(prompt_tokens, completion_tokens)

    def used_up(self, cost: float) -> UserError:
        """To raise where the next request does not fit and nothing is in flight."""
        return UserError(
            f"--budget {self.budget:g} is used up: ${self.spent:.4f} spent in this run, and the next "
            f"request may cost ${cost:.4f}; the same command with a larger budget goes on from here"
        )


def _most_tokens(content: str | list[dict[str, str]]) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(TOKENS_AN_IMAGE if b["type"] == "image" else len(b["text"]) for b in content)
