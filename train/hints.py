"""Hints: the first part of a verified trace, put in front of the response to an item that no sample solves.

If all rollouts of an item are wrong, they have no advantage and GRPO learns nothing. With the beginning of a
verified trace, some become right. The hint is part of the prompt: it is not trained on, rewards judge only
what the policy itself wrote, and the hint's share of the trace shrinks as the training proceeds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from vlt.errors import UserError
from vlt.filters.pass_rate import with_dropped
from vlt.train.methods.grpo import MAX_SHARE
from vlt.workspace.store import Dataset

TRACE = "hint_trace"
"""The export's column: a verified trace of the item, null if it gets no hint."""
_REACH = 80
"""Characters within which a script with spaces has one."""
_OPENING = re.compile(r"\s*<think>\s*")
_ANSWER = re.compile(r"</think>|<answer>|\\boxed\b")
"""Where a trace starts to give its answer."""


@dataclass(frozen=True)
class Fade:
    """How much of a thought the hint reveals at each step."""

    share: float
    steps: int | None = None
    """Steps over which it falls linearly to 0; None: over all steps; 0: it stays constant."""

    def at(self, step: int, of: int) -> float:
        """The share at a step (from 0) of a training with `of` steps."""
        steps = of if self.steps is None else self.steps
        return self.share * max(0.0, 1 - step / steps) if steps else self.share


def first_part(trace: str, share: float) -> str:
    """The first `share` of a trace's thought, by characters, cut between words; "" if nothing is left.

    What follows the thought, above all the answer, is never included; a trace whose thought is not
    separated from its answer gives no hint.
    """
    found = _ANSWER.search(trace)
    if not found:
        return ""
    opening = _OPENING.match(trace)
    start = opening.end() if opening else 0
    thought = trace[start : found.start()].rstrip()
    end = int(len(thought) * min(share, MAX_SHARE))
    spaces = [
        place
        for place in range(max(0, end - _REACH), end + 1)
        if thought[place : place + 1].isspace()
    ]
    if spaces:  # a script without spaces may be cut anywhere
        end = spaces[-1]
    elif end < _REACH and " " in thought:
        end = 0
    part = thought[:end].rstrip()
    return trace[:start] + part if part else ""


def with_traces(items: pa.Table, samples: Dataset) -> pa.Table:
    """Rated items (see vlt.train.methods.grpo) with the column TRACE: for items with pass rate 0 the
    shortest verified trace among `samples`, dropped ones included.

    Raises UserError if the samples were never verified.
    """
    if samples.kind != "sample":
        raise UserError(
            f"hints come from verified samples, and {samples.ref} holds {samples.kind}s; name samples"
        )
    wanted = {
        row_id
        for row_id, rate in zip(*(items[n].to_pylist() for n in ("id", "pass_rate")), strict=True)
        if rate == 0
    }
    verified = False
    traces: dict[str, str] = {}
    rows = with_dropped(samples, ["id", "response", "verdict"])
    for row in chain.from_iterable(batch.to_pylist() for batch in rows):
        verified = verified or row["verdict"] is not None
        response, row_id = row["response"], row["id"]
        if (
            row["verdict"] != "correct"
            or row_id not in wanted
            or not first_part(response, MAX_SHARE)
        ):
            continue
        known = traces.get(row_id)
        if known is None or (len(response), response) < (len(known), known):
            traces[row_id] = response
    if not verified and samples.manifest.rows:
        raise UserError(
            f"{samples.ref} has no verdicts, which hints need; add them with `vlt filter "
            f"{samples.ref} --verify`"
        )
    found = pa.array([traces.get(row_id) for row_id in items["id"].to_pylist()], pa.string())
    return items.append_column(TRACE, found)
