"""The other end of `vlt.images_apart`: a process that inspects images and does nothing else.

Reads (sha256, bytes) pairs pickled on its standard input until that ends, and writes for each batch what
`inspect_image` found: (data if they were converted else None, sha256, info), or the reason of a bad one.
"""

from __future__ import annotations

import pickle
import sys

from vlt.image_check import BadImage, ImageInfo, inspect_image

Found = tuple[bytes | None, str, ImageInfo] | str
"""(converted bytes or None, sha256, what it is), or why the image cannot be taken."""


def found(sha256: str, data: bytes) -> Found:
    """What there is to say of one image."""
    try:
        image = inspect_image(data, sha256)
    except BadImage as error:
        return error.reason
    return image.data if image.converted else None, image.sha256, image.info


def main() -> None:
    """Serve until the standard input is closed, which it is too when the parent dies."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a decoder prints must not come between the answers
    while True:
        try:
            batch = pickle.load(asked)
        except EOFError:
            return
        try:
            pickle.dump([found(*pair) for pair in batch], answers, 5)
            answers.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
