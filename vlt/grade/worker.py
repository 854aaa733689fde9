"""The worker process: `python -m vlt.grade.worker equal|grade|math-verify MEMORY_MB`, frames over a pipe.

A frame is four bytes of length and JSON. `equal` answers {"a": tree, "b": tree} with true, false or
null, computing with mpmath under a memory limit. Expressions arrive as trees (see `precise`); no text
is ever parsed or evaluated here.
`grade` answers a chunk of rows with their grades (see `vlt/grade/many.py`).
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

CPU_SECONDS = 30
"""If the parent dies, the kernel ends a running question after this much more CPU time."""


def main() -> None:
    """Answer frames until the pipe closes."""
    role, memory = sys.argv[1], int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # library output must not mix with the frames
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if role == "equal":
        resource.setrlimit(resource.RLIMIT_AS, (memory << 20, memory << 20))
        import vlt.grade.precise  # noqa: F401  # so that "ready" means ready

        answer = _equal
    elif role == "math-verify":
        resource.setrlimit(resource.RLIMIT_AS, (3 * memory << 20, 3 * memory << 20))
        import math_verify  # noqa: F401

        answer = _math_verify
    else:
        answer = _grade
    _send(replies, "ready")
    requests = os.fdopen(0, "rb")
    while len(head := requests.read(4)) == 4:
        (size,) = struct.unpack(">I", head)
        question = json.loads(requests.read(size))
        if role == "equal":
            spent = resource.getrusage(resource.RUSAGE_SELF)
            limit = int(spent.ru_utime + spent.ru_stime) + CPU_SECONDS
            resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        _send(replies, answer(question))


def _send(replies: BinaryIO | Any, value: Any) -> None:
    data = json.dumps(value).encode()
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[replies.write(data) :]


def _grade(question: Any) -> Any:
    from vlt.grade.many import grade_chunk

    return grade_chunk(question)


def _math_verify(question: Any) -> bool | None:
    """math-verify's own verdict, without its time limit (SIGALRM); the parent has one."""
    from math_verify import parse, verify

    try:
        gold = parse(f"\\boxed{{{question['gold']}}}", parsing_timeout=None)
        predicted = parse(f"\\boxed{{{question['predicted']}}}", parsing_timeout=None)
        return bool(verify(gold, predicted, timeout_seconds=None))
    except Exception:  # it raises many exceptions; one row's failure concerns only that row
        return None


def _equal(question: Any) -> bool | None:
    """Whether two trees are equal, compared relatively at a precision that grows with their size."""
    from vlt.grade.precise import same

    return same(question["a"], question["b"])


if __name__ == "__main__":
    main()
