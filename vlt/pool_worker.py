"""A process of a pool: `python -m vlt.pool_worker JOB FOLDER`, pieces and results over a pipe.

See vlt.process_pool. The job is loaded before the process is ready. An error in loading it (a user's file
that has changed) is reported with the first piece, like any other error of the job.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from vlt.packed_answer import packed_answer, portable
from vlt.worker_process import serve


def main() -> None:
    """Answer until the pipe closes."""
    job_file, folder = (Path(argument) for argument in sys.argv[1:])
    numbers = count()

    @cache
    def job() -> Any:
        with open(job_file, "rb") as opened:
            return pickle.load(opened)

    def answer(question: bytes) -> bytes:
        file = folder / f"answer-{os.getpid()}-{next(numbers)}"
        try:
            return packed_answer(False, job()(pickle.loads(question)), file)
        except Exception as error:
            # A traceback cannot be pickled.
            error.add_note(f"in process {os.getpid()} of the pool:\n{traceback.format_exc()}")
            return packed_answer(True, portable(error), file)

    def load() -> None:
        with suppress(Exception):  # the first piece meets it again
            job()

    serve(answer, load)


if __name__ == "__main__":
    main()
