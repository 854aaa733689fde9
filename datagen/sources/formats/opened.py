"""Opens a file of rows: decompressed, and as UTF-8 whatever its encoding."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from vlt.errors import UserError

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".tgz")
PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
"""The first bytes of compressed files, whatever their names."""
LFS = b"version https://git-lfs.github.com/spec/"
"""The start of a Git LFS pointer, which a clone without Git LFS has in place of the file."""
READ_ERRORS = (OSError, EOFError, lzma.LZMAError, pa.ArrowException)
"""What reading from a file may raise, compressed or not."""


def open_binary(file: Path) -> IO[bytes]:
    """The file's bytes, decompressed if needed; raises UserError for a Git LFS pointer."""
    with open(file, "rb") as raw:
        head = raw.read(len(LFS))
    if head == LFS:
        raise UserError(
            f"{str(file)!r} is a Git LFS pointer, not the file itself; fetch the file with "
            "`git lfs pull` in its repository"
        )
    packing = next((name for start, name in PACKINGS.items() if head.startswith(start)), None)
    if packing is None:
        return open(file, "rb")
    if packing == "gzip":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if packing == "bz2":
        return cast(IO[bytes], bz2.open(file, "rb"))
    if packing == "xz":
        return cast(IO[bytes], lzma.open(file, "rb"))
    unpacked = pa.CompressedInputStream(pa.OSFile(str(file)), packing)
    return cast(IO[bytes], io.BufferedReader(_Raw(unpacked), 1 << 20))


def open_text(file: Path) -> IO[bytes]:
    """The file's text as UTF-8 without a byte-order mark; UTF-16 and UTF-32 are detected."""
    opened = open_binary(file)
    if not isinstance(opened, io.BufferedReader | io.BufferedRandom):
        opened = cast(IO[bytes], io.BufferedReader(cast(Any, opened), 1 << 20))
    try:
        head = cast(io.BufferedReader, opened).peek(8)[:8]
    except READ_ERRORS as error:
        raise unreadable(file, error) from None
    if head.startswith(b"\xef\xbb\xbf"):
        opened.read(3)
    elif encoding := _wide(head):
        return cast(IO[bytes], io.BufferedReader(_Recoded(opened, encoding), 1 << 20))
    return opened


def unreadable(file: Path, error: Exception) -> UserError:
    """The error for a file that is truncated or damaged."""
    words = str(error).split("\n")[0]
    return UserError(f"{str(file)!r} is damaged ({words}); fetch it again")


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32, by the byte-order mark, or by the zero bytes of ASCII letters."""
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    odd, even = head[1::2], head[::2]
    if len(head) >= 8 and not any(odd) and all(even):
        return "utf-16-le"
    if len(head) >= 8 and not any(even) and all(odd):
        return "utf-16-be"
    return None


class _Raw(io.RawIOBase):
    """Arrow's stream as a raw stream for BufferedReader."""

    def __init__(self, stream: pa.NativeFile):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Recoded(io.RawIOBase):
    """Text in another encoding as UTF-8."""

    def __init__(self, stream: IO[bytes], encoding: str):
        self._text = io.TextIOWrapper(cast(Any, stream), encoding, errors="replace", newline="")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # A character takes at most four bytes of UTF-8.
        data = self._text.read(max(1, len(buffer) // 4)).encode(errors="replace")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._text.close()
        super().close()
