"""The options that several commands share, declared once.

This file and all of vlt/cli import only typer and the standard library at the top: `vlt --help`
must not load pyarrow, and `vlt ls` must not load torch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cluster import address as cluster
from vlt.cores import VARIABLE
from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.workspace import store as stored
    from vlt.workspace.workspace import Workspace as Opened

_BEFORE_COMMAND = "vlt.workspace"
"""Key under which the context keeps a -w given before the command."""


def keep_workspace(context: typer.Context, workspace: Path | None) -> None:
    """Keep the workspace named before the command; one named after it takes precedence."""
    if workspace is not None:
        context.meta[_BEFORE_COMMAND] = workspace


def or_before_command(context: typer.Context, value: Path, param: typer.CallbackParam) -> Path:
    """The folder given after the command, else the one before it, else from the environment."""
    source = context.get_parameter_source(param.name or "")
    if source is not None and source.name == "COMMANDLINE":
        return value
    return context.meta.get(_BEFORE_COMMAND, value)


WORKSPACE_OPTION = typer.Option(
    "-w",
    "--workspace",
    metavar="DIR",
    envvar="VLT_WORKSPACE",
    help="Folder that holds datasets, images, checkpoints and the journal; before or after the command.",
    show_envvar=True,
)
"""The option before the command."""
Workspace = Annotated[
    Path,
    typer.Option(
        "-w",
        "--workspace",
        metavar="DIR",
        envvar="VLT_WORKSPACE",
        help="Folder that holds datasets, images, checkpoints and the journal.",
        show_envvar=True,
        callback=or_before_command,
    ),
]
WORKSPACE = Path("workspace")


def complete_datasets(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Shell completions (name, help): datasets and checkpoints; after an @, their versions."""
    root = _workspace_of(context)
    versions: dict[str, set[int]] = {}
    for folder in ("provenance", "datasets", "checkpoints"):  # not Store, which imports Arrow
        for version in root.glob(f"{folder}/*/v*/manifest.json"):
            versions.setdefault(version.parts[-3], set()).add(int(version.parts[-2][1:]))
    if "@" in incomplete:
        found = [(f"{name}@v{n}", "") for name in sorted(versions) for n in sorted(versions[name])]
    else:
        found = [(name, f"newest: v{max(versions[name])}") for name in sorted(versions)]
    return [(name, about) for name, about in found if name.startswith(incomplete)]


def _workspace_of(context: typer.Context) -> Path:
    """The workspace of a command line that is still being typed."""
    contexts: list[typer.Context] = [context]
    while (parent := contexts[-1].parent) is not None:
        contexts.append(parent)  # type: ignore[arg-type]
    for each in contexts:
        source = each.get_parameter_source("workspace")
        if source is not None and source.name == "COMMANDLINE":
            return Path(each.params["workspace"])
    return Path(os.environ.get("VLT_WORKSPACE") or WORKSPACE)


DatasetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="name, name@v3 or name@r2.",
        autocompletion=complete_datasets,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Name of the new dataset.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take only the first N rows.", show_default=False)
]


def _allow(value: int | None) -> int | None:
    """Set the variable, for this process and those it starts."""
    if value is not None:
        os.environ[VARIABLE] = str(value)
    return value


Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        callback=_allow,
        help=f"Maximum number of worker processes. [{VARIABLE}, else the cores available]",
        show_default=False,
    ),
]


def _on_cluster(value: str | None) -> str | None:
    """The option is the variable, for this process and those that it starts."""
    if value is not None:
        os.environ[cluster.VARIABLE] = cluster.check_address(value)
    return value


Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        callback=_on_cluster,
        help=f"Work on this Ray cluster: auto, local or HOST:PORT. [{cluster.VARIABLE}]",
        show_default=False,
    ),
]


def open_store(workspace: Path) -> Opened:
    """The workspace's store; raises UserError where the folder is not a workspace."""
    from vlt.workspace.workspace import Workspace

    return Workspace(workspace)


def dataset_or_newest(
    store: stored.Store, ref: str | None, kind: str, command: str
) -> stored.Dataset:
    """The dataset that `ref` names, else the newest of `kind`; `command` is how to make one."""
    dataset = store.open(ref) if ref else store.newest(kind, command)
    if dataset.kind != kind:
        raise UsageError(
            f"{dataset.ref} holds {dataset.kind}s, but this command takes {kind}s; make them with "
            f"`{command}`"
        )
    return dataset


def parse_settings(settings: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """["learning_rate=1e-6", ...] as a dict; values are read as YAML: 1e-6 is a number."""
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
    """Text that looks like a number as the number: YAML 1.1 reads 1e-6 as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
