"""The result or error of a job, serialised in another process; Arrow and numpy buffers go into a file.

answer = packed_answer(False, made, folder / "answer-7")      # there
made = opened_answer(answer)                                  # here; raises what the job raised
"""

from __future__ import annotations

import mmap
import pickle
from pathlib import Path
from typing import Any

ALIGNED = 64
"""Bytes; Arrow's buffers are aligned to this."""
IN_ANSWER = 1 << 12
"""Smaller buffers are sent with the answer itself."""


def packed_answer(failed: bool, made: Any, file: Path) -> bytes:
    """The answer as bytes; large buffers are written to `file`, which must not exist."""
    buffers: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < IN_ANSWER:
            return True
        buffers.append(raw)
        return False

    content = pickle.dumps((failed, made), 5, buffer_callback=keep)
    places: list[tuple[int, int]] = []
    end = 0
    if buffers:
        with open(file, "xb") as out:
            for raw in buffers:
                out.write(b"\0" * (-end % ALIGNED))
                end += -end % ALIGNED
                out.write(raw)
                places.append((end, raw.nbytes))
                end += raw.nbytes
    return pickle.dumps((str(file) if buffers else None, places, content), 5)


def opened_answer(answer: bytes, *, copied: bool = False) -> Any:
    """The result in an answer; raises what the job raised. Removes the file of its buffers.

    The file is memory-mapped, or `copied` into memory: NFS keeps a mapped file under another name.
    """
    file, places, content = pickle.loads(answer)
    buffers: list[memoryview] = []
    if file:
        with open(file, "rb") as opened:
            if copied:
                held = mmap.mmap(-1, Path(file).stat().st_size)
                opened.readinto(held)
            else:
                held = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        Path(file).unlink()
        whole = memoryview(held)
        buffers = [whole[start : start + size] for start, size in places]
    failed, made = pickle.loads(content, buffers=buffers)
    if failed:
        raise made
    return made


def portable(error: Exception) -> Exception:
    """The error in a form that can be pickled: unchanged, or as a RuntimeError with its name and message."""
    try:
        pickle.loads(pickle.dumps(error))
    except (
        Exception
    ):  # whatever its class raises when unpickled, e.g. for an __init__ with arguments
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            plain.add_note(note)
        return plain
    return error
