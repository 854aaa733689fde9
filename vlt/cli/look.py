"""vlt ls | show | log: what a workspace holds, and where it came from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store
from vlt.cli.output import print_json, print_table, say
from vlt.errors import UsageError

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="name, name@v3 or name@r2.")]


def ls(workspace: Workspace = WORKSPACE, as_json: Json = False) -> None:
    """List every version of every dataset and checkpoint, oldest first."""
    rows: list[dict[str, Any]] = [
        {
            "name": d.manifest.name,
            "version": d.manifest.version,
            "kind": d.kind,
            "rows": None if d.kind == "checkpoint" else d.manifest.rows,
            "round": d.manifest.round,
            "created": d.manifest.created,
        }
        for d in open_store(workspace).all()
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table([{**row, "created": row["created"][:19].replace("T", " ")} for row in rows])
    else:
        say(f"workspace {str(workspace)!r} is empty; start with `vlt import SOURCE` or `vlt demo`")


def show(
    dataset: Dataset,
    n: Annotated[int, typer.Option("-n", min=0, help="How many rows.")] = 5,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Only rows for which this condition holds.")
    ] = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", help="The rows that were taken out, with their reason.")
    ] = False,
    row_id: Annotated[
        str | None,
        typer.Option("--id", help="One item's way through all versions (or the start of its id)."),
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Print rows of a version, or trace one row back to where it came from."""
    from vlt.lineage import trace
    from vlt.query import rows_of

    store = open_store(workspace)
    version = store.open(dataset)
    if version.kind == "checkpoint":
        raise UsageError(
            f"{version.ref} is a checkpoint and has no rows; see `vlt log {version.ref}`"
        )
    if row_id:
        rows = trace(store, version, row_id)
    else:
        rows = rows_of(version, where=where, limit=n, dropped=dropped)
    if as_json:
        print_json(rows)
        return
    for number, row in enumerate(rows):
        print(
            f"{'' if number == 0 else chr(10)}-- {row.get('version', version.ref)}, row {number + 1}"
        )
        for column, value in row.items():
            if value not in (None, "", [], "{}") and column != "version":
                print(f"{column:>17}  {_indented(value)}")
    if not rows:
        say(
            f"{version.ref}: no {'dropped ' if dropped else ''}rows{' for that condition' if where else ''}"
        )


def log(
    dataset: Dataset,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")] = False,
) -> None:
    """Show what a version or a checkpoint was made from, back to the sources."""
    from vlt.lineage import ancestors

    store = open_store(workspace)
    versions = list(ancestors(store, store.open(dataset)))
    if as_json:
        print_json([_facts(a.dataset) for a in versions if not a.again])
    elif mermaid:
        print("flowchart BT")
        for a in versions:
            if not a.again:
                print(f'  {_node(a.dataset.ref)}["{a.dataset.ref}<br>{a.dataset.manifest.stage}"]')
                for parent in a.dataset.manifest.parents:
                    print(f"  {_node(parent.ref)} --> {_node(a.dataset.ref)}")
    else:
        for a in versions:
            print("   " * a.depth + _line(a.dataset) + ("  (see above)" if a.again else ""))
            if not a.again:
                for name, value in _shown(a.dataset.manifest.parameters):
                    print("   " * a.depth + f"     {name}: {value}")


def _facts(version: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {"ref": version.ref, "path": str(version.path), **asdict(version.manifest)}


def _line(version: Any) -> str:
    m = version.manifest
    rows = "" if m.kind == "checkpoint" else f", {m.rows:,} {m.kind}s of {m.rows_in:,}"
    return f"{version.ref}  ({m.stage}{rows}; digest {m.digest[:12]}; {m.created[:19]})"


def _shown(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [(name, " ".join(str(value).split())) for name, value in parameters.items()]
    return [(n, v if len(v) <= 150 else v[:147] + "...") for n, v in lines if v not in ("", "None")]


def _node(ref: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in ref)


def _indented(value: Any) -> str:
    return str(value).replace("\n", "\n" + " " * 19)
