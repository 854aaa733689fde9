"""The other end of `vlt.images.pool`: a process that inspects images and does nothing else.

Is asked with a pickled batch of (sha256, bytes), and answers for each with what `inspect_image` found:
(data if they were converted else None, sha256, info), or the reason of a bad one. The bytes may lie in
memory that it shares, whose file's number it is started with.
"""

from __future__ import annotations

import mmap
import pickle
import sys

from vlt.images.inspect import BadImage, ImageInfo, inspect_image
from vlt.worker_process import serve

Found = tuple[bytes | None, str, ImageInfo] | str
"""(converted bytes or None, sha256, what it is), or why the image cannot be taken."""
Told = tuple[str, bytes | tuple[int, int]]
"""(sha256, the bytes or where in the shared memory they start and end)."""


def found(sha256: str, data: bytes) -> Found:
    """What there is to say of one image."""
    try:
        image = inspect_image(data, sha256)
    except BadImage as error:
        return error.reason
    return image.data if image.converted else None, image.sha256, image.info


def main() -> None:
    """Serve until the standard input is closed."""
    shared = mmap.mmap(int(sys.argv[1]), 0, prot=mmap.PROT_READ) if sys.argv[1:] else b""

    def answer(question: bytes) -> bytes:
        batch: list[Told] = pickle.loads(question)
        images = [(s, d if isinstance(d, bytes) else shared[slice(*d)]) for s, d in batch]
        return pickle.dumps([found(*image) for image in images], 5)

    serve(answer)


if __name__ == "__main__":
    main()
