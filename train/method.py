"""A training method as one record, and where to find the methods: see vlt.train.methods.

A new method is one file beside sft.py, grpo.py and dpo.py, and its name in BUILT_IN; a user's own
stays in its file, and is named as file.py:NAME.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from vlt.errors import UsageError
from vlt.plugins import entry_points, is_path, resolve
from vlt.train.settings import Training

if TYPE_CHECKING:
    import pyarrow as pa

    from vlt.train.child import Given, Job
    from vlt.workspace.store import Dataset, Store

Row = dict[str, Any]

BUILT_IN = ("sft", "grpo", "dpo")
"""vlt.train.methods.NAME defines the record as METHOD."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way of training a model with one of TRL's trainers."""

    name: str
    """Its name on the command line, in a recipe and in the stage's name."""
    about: str
    """What it does, in one line."""
    takes: tuple[str, ...]
    """Kinds of rows that it trains on, the usual one first."""
    made_by: str
    """The command that makes such rows."""
    config: tuple[str, str, str]
    """TRL's config: package, file and class. Its fields are read from the source."""
    columns: Callable[[], pa.Schema]
    """The export's columns; `prompt` is filled in, and `images` contains the images themselves."""
    example: Callable[[Row], Row | str]
    """A row's own columns of the export, or the reason why it cannot be used."""
    completions: tuple[str, ...] = ()
    """The columns of the export that the model learns to write."""
    trainer: Callable[[Given], Any]
    """TRL's trainer, in the child process."""
    training: type[Training] = Training
    """Its settings: Training, or a subclass with settings of its own."""
    rows: Callable[[Store, Dataset, Any], pa.Table | None] = lambda *_: None
    """The rows to export; None means the dataset's own."""
    parameters: Callable[[Any], dict[str, Any]] = lambda _: {}
    """Its own settings, validated, as part of the checkpoint's identity."""
    reads: Callable[[Store, Any], list[Dataset]] = lambda *_: []
    """The versions that its settings name, besides the rows: parents of the checkpoint."""
    taken_out: Callable[[Store, Dataset], list[Dataset]] = lambda *_: []
    """The versions whose dropped rows it reads as well."""
    execution: Callable[[Any], Mapping[str, Any]] = lambda _: {}
    """TRL fields, from its own settings, for how and where it runs; never part of an identity."""
    cost: Callable[[Any, int | None], str] = lambda *_: ""
    """What it will cost, in a sentence shown before it starts; takes the number of rows, if known."""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from TRL's defaults because of what those do to a VLM's rows."""
    without_images: Mapping[str, str] = field(default_factory=dict)
    """Settings that ruin a run with images -> the rest of the error message that rejects them."""
    paper: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    """TRL field -> the paper's or upstream's value, and its source."""
    shown: tuple[str, ...] = ()
    """Further fields that --explain shows."""
    goal: str | None = None
    """The metric that should rise: shown while it trains."""
    curves: tuple[str, ...] = ("loss",)
    """Metrics whose start and end the manifest keeps."""
    processor: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments with which the model's processor is loaded."""
    finish: Callable[[Job, int], dict[str, Any]] = lambda *_: {}
    """What to do after the model is saved: takes the number of steps and returns more facts."""

    reference: str = ""
    """How a plug-in is named: file.py:NAME."""
    identity: Mapping[str, str] = field(default_factory=dict)
    """A plug-in's identity: see vlt.plugins."""

    def filled(self, training: Training | None) -> Any:
        """`training` as the class of this method's settings."""
        if training is None or isinstance(training, self.training):
            return training or self.training()
        return self.training(**{f.name: getattr(training, f.name) for f in fields(training)})

    def own(self, training: Training) -> dict[str, Any]:
        """The fields that the class of its settings adds, with their values."""
        shared = {f.name for f in fields(Training)}
        return {f.name: getattr(training, f.name) for f in fields(training) if f.name not in shared}


def find_method(name: str) -> Method:
    """The method of that name; raises UsageError if there is none.

    A user's method is file.py:NAME or package.module:NAME, or one that an installed package provides
    as an entry point of `vlt.methods`.
    """
    if name in BUILT_IN:
        found: Method = importlib.import_module(f"vlt.train.methods.{name}").METHOD
        return found
    plugin = resolve(name, "method", dict.fromkeys(BUILT_IN), of=Method)
    if plugin.object.name in BUILT_IN:
        raise UsageError(
            f"method {name!r} has the name of a built-in method, {plugin.object.name!r}; rename it"
        )
    return replace(plugin.object, reference=name, identity=plugin.identity)


def is_method(name: str) -> bool:
    """Whether the name could be a method's, without loading anything."""
    return name in BUILT_IN or is_path(name) or name in entry_points("method")


def methods() -> list[Method]:
    """The methods of vlt and of installed packages, in the order of use."""
    return [find_method(name) for name in (*BUILT_IN, *sorted(entry_points("method")))]
