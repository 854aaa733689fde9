"""Scripted judges on loopback: right, biased, lazy, talkative, broken, slow, refusing.

    python -m tests.judges BEHAVIOUR

prints its port and serves until it is ended; `Judges(BEHAVIOUR)` does so inside a test. What is judged
holds its true score as [[id:score]]; a judge that is right reads it, as one would who knows the world.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.talking_server import Said, Talking

MARKED = re.compile(r"\[\[(?P<id>[\w-]+):(?P<score>\d+)\]\]")


def judgement(score: Any, reason: str = "as it is") -> str:
    return json.dumps({"reason": reason, "score": score})


def truth(text: str) -> int:
    """The score that the judged text holds."""
    found = MARKED.search(text)
    assert found, text
    return int(found["score"])


def right(text: str) -> Said:
    return judgement(truth(text))


def biased(text: str) -> Said:
    """Two points more for a long text, and always the first of two."""
    if '"better"' in text:
        return json.dumps({"reason": "the first one reads well", "better": "first"})
    judged = text.partition("begins]")[2]
    return judgement(min(5, truth(text) + (2 if len(judged) > 500 else 0)))


def lazy(_: str) -> Said:
    return judgement(5, "good")


def talkative(text: str) -> Said:
    """Prose around the object, containing another one."""
    return f"A 5 would be {judgement(5)}. But I say:\n{judgement(truth(text))}\nHope this helps!"


def broken(text: str) -> Said:
    """Truncated JSON, off the scale, in quotes, another shape, nothing, not a number."""
    whole = judgement(5)
    says = [
        whole[: len(whole) // 2],
        judgement(9),
        judgement("5"),
        json.dumps({"score": 5}),
        json.dumps([5, "good"]),
        '{"reason": "x", "score": 1, "score": 5}',
        '{"reason": "x", "score": NaN}',
        judgement(True),
        judgement(4.5),
        judgement(5, " "),
        json.dumps({"reason": "bad", "score": 5, "verdict": "fail"}),
        whole + whole,
        "<think>" + whole,
    ]
    found = MARKED.search(text)
    assert found
    return says[sum(found["id"].encode()) % len(says)]


def slow(text: str) -> Said:
    time.sleep(0.15)
    return right(text)


def refusing(_: str) -> Said:
    message = {"role": "assistant", "content": None, "refusal": "I cannot judge that."}
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


BEHAVIOURS: dict[str, Callable[[str], Said]] = {
    each.__name__: each for each in (right, biased, lazy, talkative, broken, slow, refusing)
}


class Judges(Talking):
    """A judge of one behaviour; `formats=False` refuses a response_format as some servers do."""

    def __init__(self, behaviour: str | Callable[[str], Said], *, formats: bool = True):
        says = BEHAVIOURS[behaviour] if isinstance(behaviour, str) else behaviour
        super().__init__(lambda _, text: says(text))
        self.formats = formats
        self.answered: Counter[str] = Counter()
        """How often each text was answered."""
        self._lock = threading.Lock()

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any] | bytes]:
        if not self.formats and "response_format" in body:
            self.bodies.append(body)
            error = {"message": "response_format is not supported", "type": "invalid_request_error"}
            return 400, {"error": error}
        status, reply = super().reply(body)
        if status == 200:
            with self._lock:
                self.answered[json.dumps([body["model"], body["messages"]])] += 1
        return status, reply


def main() -> None:
    """Until its standard input ends."""
    with Judges(sys.argv[1]) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
