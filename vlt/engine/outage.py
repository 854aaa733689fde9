"""Servers that do not answer: how long a run waits for them, and what it reports meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from vlt.engine.endpoint import Endpoint
from vlt.engine.pending import Job
from vlt.engine.refusal import TryAgain
from vlt.errors import UserError
from vlt.workspace.progress import duration

TELL_SECONDS = 1.0
WORTH_TELLING_SECONDS = 2.0
LOOK_SECONDS = 0.5
"""Between two looks for a server where there is none at all yet."""
ALIKE = 20
"""After this many refusals of the same kind, and no answer, a run is hopeless."""
FEW = 3
"""Requests that may stay unanswered for the whole patience without ending the run."""


class Outage:
    """The state of a run in which no server answers."""

    def __init__(
        self,
        endpoints: Collection[Endpoint],
        patience: float,
        check: Callable[[], None] | None,
        tell: Callable[[str], None] | None,
    ):
        """`patience` in seconds; `check` raises if waiting is pointless."""
        self._endpoints, self._patience = endpoints, patience
        self._check, self._tell = check, tell
        self._last_told = 0.0
        self._refusals: dict[str, int] = {}

    def wait(self) -> tuple[float, str]:
        """Seconds until one of the absent servers is tried again, and why they are absent.

        Raises UserError if the run has waited long enough, or none ever answered.
        """
        if self._check:
            self._check()
            if not self._endpoints:
                return LOOK_SECONDS, "no server is there"
        seen = self._check is not None or any(endpoint.heard for endpoint in self._endpoints)
        since = max(endpoint.gone_since for endpoint in self._endpoints)
        if not seen or time.monotonic() - since >= self._patience:
            raise self.error(seen)
        back = min(endpoint.absent_until for endpoint in self._endpoints)
        return max(0.0, back - time.monotonic()), self._absences()

    def error(self, seen: bool = True) -> UserError:
        """The error to raise if no server answers."""
        advice = "start it again, then run the same command to continue" if seen else "start it"
        return UserError(f"no server answers ({self._absences()}); {advice}")

    def is_over(self, job: Job, again: TryAgain, tries: int, in_flight: int) -> bool:
        """Whether a job that failed again is given up; `tries` is the engine's limit.

        A server that replies 503 to everything is waited for like one that is gone, whatever the number of
        tries; if it answers other requests in the meantime, the 503 is about this one. Raises UserError
        if the run has waited long enough and more than a few requests are left.
        """
        now = time.monotonic()
        job.unready_since = (job.unready_since or now) if again.unready else 0.0
        if job.tries < min(tries, again.tries or tries):
            return False
        if not again.unready:
            return True
        if any(endpoint.answered > job.unready_since for endpoint in self._endpoints):
            return True
        if now - job.unready_since < self._patience:
            return False
        if in_flight > FEW:
            raise self.error()
        return True

    def refused(self, reason: str) -> None:
        """A request was refused for good; raises UserError if all are, for the same reason."""
        if any(endpoint.proved for endpoint in self._endpoints):
            return
        kind = "".join(c for c in reason if not c.isdigit())
        self._refusals[kind] = count = self._refusals.get(kind, 0) + 1
        if count >= ALIKE and len(self._refusals) == 1:
            urls = ", ".join(endpoint.url for endpoint in self._endpoints)
            raise UserError(
                f"{urls} refuses every request ({reason}); change the setting that it names, in the "
                "sampling, --extra or the prompt, then run the command again"
            )

    def tell(self, reason: str, seconds: float) -> None:
        """Report that nothing is in flight for this long; may be called at any rate."""
        now = time.monotonic()
        due = now - self._last_told >= TELL_SECONDS
        if self._tell and seconds >= WORTH_TELLING_SECONDS and due:
            self._last_told = now
            self._tell(f"waiting, {reason}; next try in {duration(seconds)}")

    def _absences(self) -> str:
        return "; ".join(f"{e.url}: {e.absence}" for e in self._endpoints if e.absence)
