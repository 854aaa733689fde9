"""What a run may spend at a server: money, requests and tokens a minute, now or within a day."""

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
    """Never part of an identity: however little is spent at a time, the answers are the same."""

    batch: bool = False
    """Use the server's Batch API: half the price, within a day."""
    rpm: Annotated[int | None, Ge(1)] = None
    """At most so many requests a minute."""
    tpm: Annotated[int | None, Ge(1)] = None
    """At most so many tokens a minute."""
    budget: Annotated[float | None, Ge(0)] = None
    """Dollars; the run stops before they are passed."""
    prices: Annotated[Path | None, Option(metavar="FILE")] = None
    """YAML, model: {prompt: 0.15, completion: 0.6} (dollars a million)."""

    def __post_init__(self) -> None:
        check(self)

    def check_for(self, model: Model) -> None:
        """Raises UsageError where the model's engine cannot be limited so, or is not on a cluster."""
        model.check_cluster(ray_address())
        kind = model.kind
        if self.batch and (kind != "openai" or self.budget is not None or self.rpm or self.tpm):
            raise UsageError(
                "--batch is of the openai engine, and --budget, --rpm and --tpm do not go with it"
            )
        self.money(model)

    def price(self, model: Model) -> Price | None:
        """What the model's tokens cost, where a price list says so."""
        from vlt.engine.budget import price_of

        return price_of(model.model, self.prices)

    def rate_limiter(self) -> RateLimiter | None:
        """The rate limiter of one run."""
        from vlt.engine.rate_limiter import RateLimiter

        return RateLimiter(self.rpm, self.tpm) if self.rpm or self.tpm else None

    def money(self, model: Model) -> Budget | None:
        """The budget of one run; raises UsageError where it cannot be kept."""
        if self.budget is None:
            return None
        from vlt.engine.budget import Budget

        if model.kind != "openai":
            raise UsageError(
                f"--budget is for servers that are paid for; leave it out with {model.kind}"
            )
        price = self.price(model)
        if price is None:
            raise UsageError(
                f"--budget needs the price of {model.model!r}; give --prices FILE with a line such "
                f"as `{model.model}: {{prompt: 0.15, completion: 0.6}}`, dollars for a million tokens"
            )
        return Budget(self.budget, price)
