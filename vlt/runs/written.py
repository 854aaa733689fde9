"""Settings and paths as a recipe writes them: on one line of YAML, relative to its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from vlt.datagen.import_settings import Import
from vlt.datagen.sources.locate import HUB_ID
from vlt.datagen.sources.remote import is_remote
from vlt.plugins import is_path

ABOVE = 2
"""How many folders up a relative path may go; beyond that, paths are absolute."""


def as_written(what: Import, folder: Path) -> dict[str, Any]:
    """The source as a recipe in `folder` writes it, without defaults."""
    found: dict[str, Any] = {"source": _path(what.source, folder)}
    for name in ("split", "config", "revision", "where", "limit", "sample"):
        if (value := getattr(what, name)) is not None:
            found[name] = value
    if what.sample is not None and what.seed:
        found["seed"] = what.seed
    if what.map:
        found["map"] = dict(what.map)
    if what.settings:
        found["settings"] = dict(what.settings)
    if what.images != "optional":
        found["images"] = what.images
    if what.private_urls:
        found["private_urls"] = True
    if what.image_root:
        found["image_root"] = relative(str(what.image_root.expanduser()), folder)
    return found


def _path(source: str, folder: Path) -> str:
    """A path relative to the recipe's folder; names and Hub ids as they are."""
    if is_remote(source):
        return source
    if is_path(source):
        file, colon, name = source.rpartition(":")
        return f"{relative(file, folder)}{colon}{name}"
    path = Path(source).expanduser()
    pattern = any(sign in source for sign in "*?[")
    if path.exists() or (pattern and not HUB_ID.fullmatch(source)):
        return relative(str(path), folder)
    return source


def relative(path: str, folder: Path) -> str:
    """./a/b in the recipe's folder or below, ../a not far above; else absolute."""
    absolute, here = os.path.abspath(path), os.path.abspath(folder)
    relative = os.path.relpath(absolute, here)
    above = relative.split(os.sep).count("..")
    if above == 0:
        return "." if relative == "." else f"./{relative}"
    return relative if above <= ABOVE else absolute


def flow(value: Any) -> str:
    """On one line, as YAML."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
    )
    return text.strip()


def scalar(text: str) -> str:
    """A text as it is written inside a flow mapping."""
    return flow([text])[1:-1]
