"""The options that several commands share, declared once.

This file and all of vlt/cli import only typer and the standard library at the top: `vlt --help`
must not load pyarrow, and `vlt ls` must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.workspace.store import Dataset, Store
    from vlt.workspace.workspace import Workspace as Opened

Workspace = Annotated[
    Path,
    typer.Option(
        "-w",
        "--workspace",
        envvar="VLT_WORKSPACE",
        help="Folder that holds datasets, images, checkpoints and the journal.",
        show_envvar=True,
    ),
]
WORKSPACE = Path("workspace")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Name of the new dataset.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take only the first N rows.", show_default=False)
]


def open_store(workspace: Path) -> Opened:
    """The workspace's store; raises UserError where the folder is not a workspace."""
    from vlt.workspace.workspace import Workspace

    return Workspace(workspace)


def dataset_or_newest(store: Store, ref: str | None, kind: str, command: str) -> Dataset:
    """The dataset that `ref` names, else the newest of `kind`; `command` is how to make one."""
    dataset = store.open(ref) if ref else store.newest(kind, command)
    if dataset.kind != kind:
        raise UsageError(
            f"{dataset.ref} holds {dataset.kind}s and this takes {kind}s; make them with `{command}`"
        )
    return dataset


def parse_settings(settings: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """["learning_rate=1e-6", ...] as a dict; values are read as YAML, so 1e-6 and true mean that."""
    import yaml

    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"{option} {setting!r} is not key=value; write e.g. {option} learning_rate=1e-6"
            )
        parsed[key.strip()] = number(yaml.safe_load(value))
    return parsed


def number(value: Any) -> Any:
    """YAML 1.1 reads 1e-6 as text; whoever writes it means the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
