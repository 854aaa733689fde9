"""The identity of a model, independent of its location: the digest of its files, or name and revision."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from vlt.errors import UserError
from vlt.workspace.files import write_text

WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
# What determines a model's answers besides its weights. Trainer states, logs and cards do not.
SETTINGS = (".json", ".jinja", ".model", ".txt")
NOT_THE_MODEL = {"manifest.json", "trainer_state.json", "training_args.json", "all_results.json"}


def model_identity(model: str, revision: str | None = None) -> dict[str, Any]:
    """{"digest": ...} for a directory (the path does not count), else {"name": ..., "revision": ...}.

    Raises UserError for a directory without a model.
    """
    if os.path.isdir(model):
        return {"digest": model_digest(Path(model))}
    if model.startswith((".", "/", "~")):
        raise UserError(
            f"model {model!r} is not a directory; give a model directory or a model's name"
        )
    return {"name": model, "revision": revision}


def model_files(directory: Path) -> list[Path]:
    """The files that make up the model, sorted by name; raises UserError if it is not a model."""
    files = sorted(
        f
        for f in directory.iterdir()
        if f.is_file() and f.name not in NOT_THE_MODEL and f.suffix in (*WEIGHTS, *SETTINGS)
    )
    names = {f.name for f in files}
    if "config.json" not in names or not any(f.suffix in WEIGHTS for f in files):
        raise UserError(
            f"{str(directory)!r} is not a model directory (it needs config.json and weights such as "
            "model.safetensors); give a directory saved by save_pretrained"
        )
    return files


def model_digest(directory: Path) -> str:
    """sha256 over names and contents of the model's files; a file is read again only if it has changed.

    The digests are cached in the user's cache folder by path, size and modification time, since a
    real checkpoint has many gigabytes and its digest is needed at every run.
    """
    whole = hashlib.sha256()
    for file in model_files(directory):
        whole.update(f"{file.name}\0{_file_digest(file.resolve())}\n".encode())
    return whole.hexdigest()


def _file_digest(file: Path) -> str:
    stat = file.stat()
    mark = f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vlt" / "digests"
    remembered = folder / hashlib.sha256(mark.encode()).hexdigest()[:32]
    if remembered.is_file() and (text := remembered.read_text().strip()):
        return text
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if stat.st_size > 64 << 20:  # smaller files are read as fast as a cached digest
        with suppress(OSError):  # a read-only home: it is computed again next time
            folder.mkdir(parents=True, exist_ok=True)
            write_text(digest, remembered)
    return digest


def parameters_digest(parameters: Any) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
