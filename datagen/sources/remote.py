"""Sources in buckets or on other fsspec file systems: s3://, gs://, hf://, az:// and the like.

Files are copied to the user's cache and read there, so that a row's images are found as for a local file:
of a folder all files are copied; of one file (or those matching a pattern) also the images that its rows
name by path. Unchanged files are not copied again. A version's identity is the content, as for a local file:
the same rows from another location make the same version.

Credentials are those of each library (AWS_PROFILE, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS,
HF_TOKEN ...); vlt reads none itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from vlt.datagen.sources.files import ITEM_IMAGES, FileSource, open_path, open_pattern
from vlt.datagen.sources.row import Unreadable
from vlt.errors import UserError
from vlt.threads import map_in_order
from vlt.workspace.files import replaced, write_json

AT_ONCE = 16
"""Files that are copied concurrently; they wait for the network, not for each other."""
FINGERPRINT = (
    "size ETag etag checksum md5Hash md5 generation blob_id oid mtime LastModified created".split()
)
"""The fields of a file's metadata by which a change is detected."""
PACKAGES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""Protocol -> the extra of vlt that installs its library."""


def is_remote(source: str) -> bool:
    """Whether it has the form protocol://path and is not a local file."""
    protocol, marks, path = source.partition("://")
    return bool(marks and path) and protocol.isalnum() and protocol not in ("file", "local")


def open_remote(
    source: str, split: str | None, folder: Path | None, config: str | None
) -> FileSource:
    """A local copy of the remote source; raises UserError if it cannot be read."""
    there = _There(source)
    if there.pattern:
        names = there.matched()
        there.copy(names)
        there.forget(Path(file) for file in glob(str(there.here / there.pattern), recursive=True))
        found = open_pattern(str(there.here / there.pattern), split, folder)
        assert found is not None, "its files have just been copied"
    elif there.is_file:
        there.copy([there.name])
        found = open_path(there.here / there.name, split, folder, config)
    else:
        there.copy(there.below())
        there.forget(there.here.rglob("*"))
        return _named(open_path(there.here, split, folder, config), source)
    if folder is None:
        there.copy(_image_paths(found), missing=False)
    return _named(found, source)


class _There:
    """A location in a bucket, and the local folder with its copy."""

    def __init__(self, source: str):
        import fsspec

        self.source = source
        protocol = source.partition("://")[0]
        try:
            self.files, path = fsspec.url_to_fs(source)
        except ImportError as error:
            extra = PACKAGES.get(protocol)
            package = f"pip install 'vlt-loop[{extra}]'" if extra else str(error)
            raise UserError(
                f"{source!r} needs a library that is not installed; {package}"
            ) from None
        except ValueError as error:
            raise UserError(f"{source!r} cannot be read ({_words(error)})") from None
        self.files.invalidate_cache()  # listings from an earlier import
        path = path.rstrip("/")
        self.is_file = False
        self.pattern = ""
        if any(sign in path for sign in "*?["):
            parts = path.split("/")
            first = next(i for i, part in enumerate(parts) if any(s in part for s in "*?["))
            self.root, self.pattern = "/".join(parts[:first]), "/".join(parts[first:])
        elif self._asked(lambda: self.files.isfile(path)):
            self.is_file = True
            self.root, self.name = posixpath.split(path)
        else:
            self.root = path
        mark = hashlib.sha256(f"{protocol}://{self.root}".encode()).hexdigest()[:16]
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        # The last part of the path is the source's name, for rows without their own.
        self.here = cache / "vlt" / "remote" / mark / (posixpath.basename(self.root) or protocol)
        self.known_file = self.here.parent / "copied.json"
        self.copied: set[str] = set()
        """Remote files with an up-to-date copy, by their paths relative to the root."""

    def below(self) -> list[str]:
        """All files of the folder, by their relative paths; raises UserError if there are none."""
        found = self._asked(lambda: self.files.find(self.root))
        names = [name for name in map(self._relative, found) if not _is_hidden(name)]
        return self._some(names)

    def matched(self) -> list[str]:
        """The files that match the pattern; raises UserError if there are none."""
        pattern = f"{self.root}/{self.pattern}" if self.root else self.pattern
        found = self._asked(lambda: self.files.glob(pattern, detail=True))
        names = [self._relative(name) for name, f in found.items() if f["type"] == "file"]
        return self._some([name for name in names if not _is_hidden(name)])

    def forget(self, held: Iterable[Path]) -> None:
        """Delete copies of files that no longer exist remotely; `held` are the copies to check."""
        for file in held:
            name = file.relative_to(self.here).as_posix()
            if file.is_file() and not _is_hidden(name) and name not in self.copied:
                file.unlink()

    def copy(self, names: Iterable[str], *, missing: bool = True) -> None:
        """Copy the files that have changed; a missing file is an error, or is skipped if not `missing`."""
        known = _read(self.known_file)

        def one(name: str) -> tuple[str, str] | None:
            path = f"{self.root}/{name}" if self.root else name
            try:
                info = self.files.info(path)
            except FileNotFoundError:
                if missing:
                    raise
                (self.here / name).unlink(missing_ok=True)
                return None
            mark = json.dumps({k: str(info[k]) for k in FINGERPRINT if info.get(k) is not None})
            local = self.here / name
            if known.get(name) != mark or not local.is_file():
                local.parent.mkdir(parents=True, exist_ok=True)
                with replaced(local) as part:
                    self.files.get_file(path, str(part))
            return name, mark

        try:
            for done in map_in_order(one, names, AT_ONCE, name="copy"):
                if done:
                    known[done[0]] = done[1]
                    self.copied.add(done[0])
        except Exception as error:
            raise self._trouble(error) from error
        finally:
            if known:
                self.here.mkdir(parents=True, exist_ok=True)
                write_json(known, self.known_file)

    def _some(self, names: Sequence[str]) -> list[str]:
        if not names:
            raise UserError(f"there is nothing at {self.source!r}; check the path")
        return sorted(names)

    def _relative(self, path: str) -> str:
        path = self.files._strip_protocol(path)
        return path[len(self.root) :].lstrip("/") if self.root else path.lstrip("/")

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except Exception as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> UserError:
        """A UserError for whatever the file system's library raises, which differs by library."""
        if isinstance(error, UserError):
            return error
        if isinstance(error, FileNotFoundError):
            return UserError(f"there is nothing at {self.source!r}; check the path")
        return UserError(
            f"{self.source!r} cannot be read ({_words(error)}); check the path, and the credentials "
            "and the endpoint in the environment"
        )


def _named(found: FileSource, source: str) -> FileSource:
    found.where = repr(source)
    return found


def _image_paths(source: FileSource) -> Iterator[str]:
    """The distinct image paths in the rows, except those that lead out of the folder."""
    seen: set[str] = set()
    for row in source.rows():
        if isinstance(row, Unreadable):
            continue
        for text in _texts(row):
            path = posixpath.normpath(text.replace("\\", "/"))
            if (
                path.lower().endswith(ITEM_IMAGES)
                and len(path) < 1_000
                and "://" not in text
                and "\n" not in path
                and not path.startswith(("/", ".."))
                and path not in seen
            ):
                seen.add(path)
                yield path


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _is_hidden(name: str) -> bool:
    """Whether a part of the path starts with a dot, including `..`, which would leave the copy's folder."""
    return any(part.startswith(".") for part in name.split("/"))


def _read(file: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(file.read_text())
    except (OSError, ValueError):  # nothing was copied yet, or the file is broken
        return {}
    return known


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
