"""vlt status: the progress of a run, or of a stage in another terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, open_store
from vlt.cli.output import plain, print_json, print_table
from vlt.workspace.progress import ReplicasProgress, duration, replicas_words

SILENT = 60
"""Seconds without progress after which this is shown: a model is loading, or a server hangs."""


def status(
    run: Annotated[
        str | None,
        typer.Argument(help="A recipe's name, or a version that the run made. [the newest run]"),
    ] = None,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Show each step of a run (done, running, waiting, failed), and what else is being written."""
    from vlt.runs.status import status as look

    found = look(open_store(workspace).root, run)
    if as_json:
        print_json(found)
        return
    if found["run"]:
        _print_run(found["run"])
    if found["arms"]:
        print("\nArms:")
        print_table(
            [
                {
                    "arm": plain(row["arm"]),
                    "state": row["state"],
                    "": f"{row['done']} of {row['steps']} steps" if row["steps"] else None,
                }
                for row in found["arms"]
            ]
        )
    if found["run"] and found["stages"]:
        print("\nOutside this run:")
    if found["stages"]:
        print_table(
            [
                {"stage": row["stage"], "makes": row["name"], "state": row["state"], "": _says(row)}
                for row in found["stages"]
            ]
        )


def _print_run(run: Mapping[str, Any]) -> None:
    done = sum(step["state"] == "done" for step in run["steps"])
    print(
        f"{plain(run['recipe'])}: {run['state']}, {done} of {len(run['steps'])} steps done, "
        f"{duration(run['seconds'])}, started {run['started'][:19].replace('T', ' ')} UTC"
    )
    if run["reason"]:
        print(plain(run["reason"]))
    if run["state"] == "stopped":
        print("Its process is gone; the same `vlt run` resumes it.")
    print()
    print_table(
        [
            {
                "round": step["round"] or None,
                "step": step["step"],
                "state": step["state"],
                # Why the run ended is printed above the table.
                "": _says(
                    {**step, "reason": step["reason"] if step["reason"] != run["reason"] else None}
                ),
            }
            for step in run["steps"]
        ]
    )


def _of_replicas(replicas: ReplicasProgress) -> list[str]:
    """2 of 3 replicas (10.0.0.1 12.5/s, 10.0.0.2 11/s), 10.0.0.3 starting"""
    told = [
        f"{each['host']} {each['rate']:,.3g}/s"
        for each in replicas["each"]
        if each["state"] == "ready"
    ]
    others = [
        f"{each['host']} {each['state']}".strip()
        for each in replicas["each"]
        if each["state"] != "ready"
    ]
    words = replicas_words(replicas)
    return [f"{words} ({', '.join([*told, *others])})"]


def _says(row: Mapping[str, Any]) -> str:
    """What to say about a step or a stage besides its state."""
    if row.get("version"):
        took = "existed already" if row["existed"] else duration(row["seconds"])
        return f"{row['version']}, {took}"
    parts = []
    if row.get("stage"):
        if row["state"] == "running":
            parts.append(duration(row["seconds"]))
            parts += _of_replicas(row["replicas"]) if row["replicas"] else []
        total = f"/{row['total']:,}" if row["total"] is not None else ""
        if row["done"] or total:
            parts.append(f"{row['done']:,}{total} {row['unit']}")
        if row["state"] == "running":
            parts += [f"{row['rate']:,.3g}/s"] if row["rate"] else []
            parts += [f"{duration(row['left'])} left"] if row["left"] is not None else []
            parts += (
                [f"no progress for {duration(row['silent'])}"] if row["silent"] > SILENT else []
            )
    if row.get("reason"):
        parts.append(row["reason"])
    return ", ".join(parts)
