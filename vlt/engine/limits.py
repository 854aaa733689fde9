"""What a run may spend at a server: money, requests and tokens per minute, at once or as a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from vlt.cluster.address import ray_address
from vlt.errors import UsageError
from vlt.fields import Option, check

if TYPE_CHECKING:
    from vlt.engine.budget import Budget, Price
    from vlt.engine.model import Model
    from vlt.engine.rate_limiter import RateLimiter


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Never part of an identity: limits do not change the answers."""

    batch: bool = False
    """Use the server's Batch API: half the price, within a day."""
    rpm: Annotated[int | None, Ge(1)] = None
    """Maximum requests per minute."""
    tpm: Annotated[int | None, Ge(1)] = None
    """Maximum tokens per minute."""
    budget: Annotated[float | None, Ge(0)] = None
    """Dollars; the run stops before it exceeds them."""
    prices: Annotated[Path | None, Option(metavar="FILE")] = None
    """YAML, model: {prompt: 0.15, completion: 0.6} (dollars per million tokens)."""

    def __post_init__(self) -> None:
        check(self)

    def check_for(self, model: Model) -> None:
        """Raises UsageError if the model's engine does not support the limits, or replicas lack a cluster."""
        model.check_cluster(ray_address())
        kind = model.kind
        if self.batch and (kind != "openai" or self.budget is not None or self.rpm or self.tpm):
            raise UsageError(
                "--batch needs the openai engine and cannot be combined with --budget, --rpm or --tpm"
            )
        self.money(model)

    def price(self, model: Model) -> Price | None:
        """What the model's tokens cost, if a price list has it."""
        from vlt.engine.budget import price_of

        return price_of(model.model, self.prices)

    def rate_limiter(self) -> RateLimiter | None:
        """The rate limiter for one run."""
        from vlt.engine.rate_limiter import RateLimiter

        return RateLimiter(self.rpm, self.tpm) if self.rpm or self.tpm else None

    def money(self, model: Model) -> Budget | None:
        """The budget for one run; raises UsageError if it cannot be enforced."""
        if self.budget is None:
            return None
        from vlt.engine.budget import Budget

        if model.kind != "openai":
            raise UsageError(
                f"--budget is for paid servers; leave it out with the engine {model.kind}"
            )
        price = self.price(model)
        if price is None:
            raise UsageError(
                f"--budget needs the price of {model.model!r}; give --prices FILE with a line such "
                f"as `{model.model}: {{prompt: 0.15, completion: 0.6}}`, dollars per million tokens"
            )
        return Budget(self.budget, price)
