"""Text files that a user names: recipes, filter chains, rows to grade."""

from __future__ import annotations

from pathlib import Path

from vlt.errors import UsageError


def read_text(file: Path, named: str = "") -> str:
    """The text, which is UTF-8 with or without a byte-order mark.

    `named` is how the user named it (`--chain`, `recipe`), for the error message. Raises UsageError if it
    cannot be read.
    """
    name = f"{named} {str(file)!r}".strip()
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is not UTF-8 text (at byte {error.start}); save it as UTF-8"
        ) from None
    except FileNotFoundError:
        raise UsageError(f"{name} does not exist; correct the path") from None
    except OSError as error:
        raise UsageError(
            f"{name} cannot be read ({error.strerror}); name a readable file"
        ) from None
