"""The worker of `vlt.images.pool`: a process that inspects images and does nothing else.

It gets a pickled batch of (sha256, bytes), and answers for each with the result of `inspect_image`:
(data if it was converted else None, sha256, info), or the reason of a bad one. The bytes may be in shared
memory, whose file descriptor is its argument.
"""

from __future__ import annotations

import mmap
import pickle
import sys

from vlt.images.inspect import BadImage, ImageInfo, Inspected, inspect_image
from vlt.worker_process import serve

Found = tuple[bytes | None, str, ImageInfo] | str
"""(converted bytes or None, sha256, properties), or why the image cannot be used."""
Sent = tuple[str, bytes | tuple[int, int]]
"""(sha256, the bytes or their start and end in the shared memory)."""


def found(sha256: str, data: bytes) -> Found:
    """The result for one image."""
    try:
        image = inspect_image(data, sha256)
    except BadImage as error:
        return error.reason
    return found_of(image)


def found_of(image: Inspected) -> Found:
    """An inspected image as it is sent back: the bytes only if they are new."""
    return image.data if image.converted else None, image.sha256, image.info


def main() -> None:
    """Serve until standard input is closed."""
    shared = mmap.mmap(int(sys.argv[1]), 0, prot=mmap.PROT_READ) if sys.argv[1:] else b""

    def answer(question: bytes) -> bytes:
        batch: list[Sent] = pickle.loads(question)
        images = [(s, d if isinstance(d, bytes) else shared[slice(*d)]) for s, d in batch]
        return pickle.dumps([found(*image) for image in images], 5)

    serve(answer)


if __name__ == "__main__":
    main()
