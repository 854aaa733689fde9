"""vlt ls | show | log: what a workspace holds, and where it came from."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, DatasetArgument, Json, Workspace, open_store
from vlt.cli.output import plain, print_json, print_table, say
from vlt.errors import UsageError

if TYPE_CHECKING:
    from vlt.workspace.store import Dataset

INDENT = 19
"""Column where the values of `vlt show` begin."""
MAX_CHARACTERS = 4_000
"""Of a text shown on a terminal."""


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
        print_table(
            [
                {
                    "version": f"{row['name']}@v{row['version']}",
                    **{key: row[key] for key in ("kind", "rows", "round")},
                    "created": _when(row["created"]),
                }
                for row in rows
            ]
        )
    else:
        say(f"workspace {str(workspace)!r} is empty; start with `vlt import SOURCE` or `vlt demo`")


def _when(created: str) -> str:
    """`Nov 26 13:11`, or in another year `Nov 26  2025`, as `ls -l` has it: long names need the room."""
    when, year = datetime.fromisoformat(created), datetime.now(UTC).year
    return when.strftime("%b %d %H:%M" if when.year == year else "%b %d  %Y")


def show(
    dataset: DatasetArgument,
    n: Annotated[int, typer.Option("-n", min=0, help="How many rows.")] = 5,
    where: Annotated[
        str | None, typer.Option(metavar="SQL", help="Only rows for which this condition holds.")
    ] = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", help="The dropped rows, with their reasons.")
    ] = False,
    row_id: Annotated[
        str | None,
        typer.Option(
            "--id", help="Trace one item through all versions, by its id or the start of it."
        ),
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option(help="Show small previews of the images. [if the terminal can]"),
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Print rows of a version, or trace one row back to where it came from."""
    from vlt.grade.reasons import readable
    from vlt.workspace.lineage import trace
    from vlt.workspace.query import rows_of

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
    room = _columns() - INDENT if sys.stdout.isatty() else None
    with ExitStack() as stack:
        shown = _Images(store.images_folder, stack, images)
        for number, row in enumerate(rows):
            print(
                f"{chr(10) if number else ''}-- {row.get('version', version.ref)}, row {number + 1}"
            )
            for column, value in readable(row).items():
                if column == "images":
                    shown.print(value)
                elif value not in (None, "", [], "{}") and column != "version":
                    print(f"{column:>17}  {_indented(value, room)}")
    if not rows:
        say(f"{version.ref}: {_none(version, where=bool(where), dropped=dropped)}")


def _none(version: Dataset, *, where: bool, dropped: bool) -> str:
    """That there are no rows, and where they are."""
    if where:
        return f"no {'dropped ' if dropped else ''}rows for that condition"
    gone = version.manifest.rows_in - version.manifest.rows
    if dropped or not gone:
        return f"no {'dropped ' if dropped else ''}rows"
    return f"no rows; --dropped shows the {gone:,} that were not kept"


class _Images:
    """Prints what a row's images are, each with a preview the first time."""

    def __init__(self, root: Path, stack: ExitStack, wanted: bool | None):
        from vlt.cli.preview import preview_of

        self.root, self.stack = root, stack
        self.how = preview_of(os.environ, terminal=sys.stdout.isatty(), wanted=wanted)
        self.store: Any = None
        self.drawn: set[str] = set()

    def print(self, hashes: list[str] | None) -> None:
        from vlt.cli.preview import draw
        from vlt.errors import UserError

        for number, sha256 in enumerate(hashes or []):
            if self.store is None:
                from vlt.images.store import ImageStore

                self.store = self.stack.enter_context(ImageStore(self.root, read_only=True))
            head = f"{'images' if number == 0 else '':>17}  {plain(sha256)[:12]}"
            try:
                info = self.store.info(sha256)
            except UserError:
                print(f"{head}  not in this workspace")
                continue
            print(f"{head}  {info.width} x {info.height} {info.format}, {info.bytes:,} bytes")
            if self.how and sha256 not in self.drawn:
                self.drawn.add(sha256)
                drawn = draw(self.store.read(sha256), self.how)
                sys.stdout.write("".join(f"{'':>{INDENT}}{line}\n" for line in drawn.splitlines()))


def log(
    dataset: DatasetArgument,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")] = False,
) -> None:
    """Show what a version or a checkpoint was made from, back to the sources."""
    from vlt.workspace.lineage import ancestors

    store = open_store(workspace)
    versions = list(ancestors(store, store.open(dataset)))
    arms = _arms(store.root)
    if as_json:
        print_json(
            [
                {**_facts(a.dataset), "arms": arms.get(a.dataset.ref, [])}
                for a in versions
                if not a.again
            ]
        )
    elif mermaid:
        print("flowchart BT")
        for a in versions:
            if not a.again:
                print(
                    f'  {_node(a.dataset.ref)}["{a.dataset.ref}<br>{_quoted(a.dataset.manifest.stage)}"]'
                )
                for parent in a.dataset.manifest.parents:
                    print(f"  {_node(parent.ref)} --> {_node(a.dataset.ref)}")
    else:
        from vlt.cli.tree import print_tree

        print_tree(versions, arms)


def _arms(root: Path) -> dict[str, list[str]]:
    """Version -> the arms that made or used it, if a recipe ran in several."""
    from vlt.runs.record import runs

    recorded = [run for run in runs(root) if run.arm]
    if len({(run.of, run.label) for run in recorded}) < 2:
        return {}
    found: dict[str, list[str]] = {}
    for run in recorded:
        for step in run.steps:
            labels = found.setdefault(step.version, []) if step.version else []
            if (label := f"{run.of}, {run.label}") not in labels:
                labels.append(label)
    return found


def _facts(version: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {"ref": version.ref, "path": str(version.path), **asdict(version.manifest)}


def _node(ref: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in ref)


def _quoted(text: str) -> str:
    return plain(text).replace('"', "#quot;").replace("<", "#lt;")


def _indented(value: Any, room: int | None) -> str:
    """A value next to its name; on a terminal wrapped to `room` columns, and cut if very long."""
    if isinstance(value, list):
        value = " | ".join(map(_element, value))
    text = plain(str(value))
    if room is None:
        return text.replace("\n", "\n" + " " * INDENT)
    lines = [
        folded
        for line in text[:MAX_CHARACTERS].split("\n")
        for folded in textwrap.wrap(line, max(20, room), replace_whitespace=False) or [""]
    ]
    if len(text) > MAX_CHARACTERS:
        lines.append(f"... ({len(text):,} characters; --json shows all of them)")
    return ("\n" + " " * INDENT).join(lines)


def _element(part: Any) -> str:
    """One element of a list; a judgement becomes `grounded by big: pass, 5 (all of it holds)`."""
    if not isinstance(part, dict) or "rubric" not in part:
        return str(part)
    score = "" if part["score"] is None else f", {part['score']:g}"
    return f"{part['rubric']} by {part['model']}: {part['verdict']}{score} ({part['reason']})"


def _columns() -> int:
    """The width of the terminal; 150 without one."""
    return shutil.get_terminal_size((150, 24)).columns
