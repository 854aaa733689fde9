"""The meaning of a judge's reply: parsed strictly, since guessing may turn a reply into a wrong pass.

A reply is one JSON object with a reason and a score on the scale, with nothing around it except a thought
before it and a code fence. Everything else is unjudged: prose around the object, half of one, two of them, an
unexpected key, a score in quotes or outside the scale, and a reply that occurs in the judged text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from vlt.judging.rubric import Rubric
from vlt.request import Completion
from vlt.thinking import CLOSE, OPEN, after_thought
from vlt.workspace.judgements import UNJUDGED

REASON_CHARACTERS = 1_000
_FENCE = re.compile(r"```(?:json)?\s*\n(?P<inside>.*?)\n?\s*```", re.S | re.I)


class NoReply(Exception):
    """The reply is not a judgement, for this reason."""


@dataclass(frozen=True)
class Said:
    """One judgement of one judge."""

    score: float | None
    verdict: str
    """pass, fail or unjudged."""
    reason: str

    def as_row(self, rubric: str, model: str) -> dict[str, Any]:
        """As an element of the column `judgements`."""
        return {"rubric": rubric, "model": model, **vars(self)}


def said(reply: Completion | str, rubric: Rubric, shown: Sequence[str] = ()) -> Said:
    """The judgement from a reply, or from the reason why there is none; `shown` are the judged texts."""
    try:
        found = object_of(reply, ("reason", "score"), shown)
        return Said(score := _score(found["score"], rubric), rubric.verdict(score), _reason(found))
    except NoReply as why:
        return Said(None, UNJUDGED, one_line(str(why)))


def object_of(
    reply: Completion | str, keys: Sequence[str], shown: Sequence[str] = ()
) -> Mapping[str, Any]:
    """The reply as a JSON object with exactly these keys; raises NoReply if it is not one."""
    if isinstance(reply, str):
        raise NoReply(reply)
    if reply.finish_reason == "length":
        raise NoReply("the judge's reply was cut at the limit of its tokens")
    whole = reply.response.strip()
    if not whole:
        raise NoReply("the judge's reply is empty")
    found, text = _parsed(whole), whole
    if found is None and whole.startswith(OPEN) and CLOSE in whole:
        # A reason that mentions </think> looks like the end of a thought, to which an opening was added.
        text = whole.removeprefix(OPEN)
        found = _parsed(text)
    if found is None:
        text = after_thought(whole)
        if fenced := _FENCE.fullmatch(text):
            text = fenced["inside"]
        found = _parsed(text)
    if found is None:
        raise NoReply(
            f"the judge's reply is no JSON object: {text[:80] or 'a thought and no more'}"
        )
    if set(found) != set(keys):
        raise NoReply(
            f"the judge's reply holds {', '.join(found) or 'nothing'}, not {', '.join(keys)}"
        )
    if any(" ".join(text.split()) in " ".join(part.split()) for part in shown):
        raise NoReply("the judge's reply repeats what it was given to judge")
    return found


def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are not JSON


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _score(value: Any, rubric: Rubric) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not isfinite(value) or not rubric.low <= value <= rubric.high:
        raise NoReply(f"the judge's score {str(value)[:40]!r} is not {rubric.scale}")
    if rubric.whole and value != int(value):
        raise NoReply(f"the judge's score {value:g} is not {rubric.scale}")
    return float(value)


def _reason(found: Mapping[str, Any]) -> str:
    reason = found["reason"]
    if not isinstance(reason, str) or not reason.strip():
        raise NoReply("the judge's reply gives no reason")
    return one_line(reason)


def one_line(text: str) -> str:
    """Without line breaks and characters that UTF-8 cannot encode; a long text is cut."""
    plain = " ".join(text.encode(errors="replace").decode().split())
    return plain[:REASON_CHARACTERS]
