"""vlt diff: what differs between two versions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, complete_datasets, open_store
from vlt.cli.output import plain, print_json, print_table
from vlt.plural import plural

Version = Annotated[
    str, typer.Argument(help="name, name@v3 or name@r2.", autocompletion=complete_datasets)
]


def diff(
    a: Version,
    b: Version,
    n: Annotated[int, typer.Option("-n", min=0, help="Examples of each change of verdict.")] = 2,
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Compare two versions: rows, verdicts that flipped, distributions, parameters."""
    from vlt.workspace.diff import diff as compare

    store = open_store(workspace)
    found = compare(store.open(a), store.open(b), examples=n)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    a, b = found["a"], found["b"]
    print(f"{a} -> {b}{': the same content' if found['same_content'] else ''}")
    if "rows" in found:
        _print_rows(found)
    for title, rows in found.get("values", {}).items():
        if any(row["a"] != row["b"] for row in rows):
            _print_beside([{title: r["value"], a: r["a"], b: r["b"]} for r in rows])
    lengths = found.get("lengths", {})
    if lengths:
        quantiles = [
            {"5, 25, 50, 75, 95 %": title, a: _quantiles(both["a"]), b: _quantiles(both["b"])}
            for title, both in lengths.items()
        ]
        _print_beside(quantiles)
    if found["parameters"]:
        widest = max(map(len, found["parameters"]))
        room = max(24, (shutil.get_terminal_size((160, 24)).columns - widest - 4) // 2)
        rows = []
        for name, (x, y) in found["parameters"].items():
            of_a, of_b = _apart(x, y, room)
            rows.append({"parameter": name, a: of_a, b: of_b})
        _print_beside(rows)
    else:
        print("\nNo parameter differs.")


def _print_rows(found: Mapping[str, Any]) -> None:
    a, b, rows = found["a"], found["b"], found["rows"]
    print(
        f"{plural(rows['a'], 'row')} -> {rows['b']:,}: {rows['added']:,} added, "
        f"{rows['gone']:,} removed, {rows['changed']:,} changed, {rows['same']:,} the same "
        f"(by {' and '.join(found['key'])})"
    )
    if found["columns"]:
        changed = sorted(found["columns"].items(), key=lambda pair: -pair[1])
        print("changed in " + ", ".join(f"{name} {count:,}" for name, count in changed))
    for name, count in found["gone_by"].items():
        print(f"dropped by {name}: {count:,}")
    if found.get("flips"):
        _print_beside([{"verdict": flip, "rows": n} for flip, n in found["flips"].items()])
    for example in found.get("examples", []):
        print(
            f"\n{example['verdict_a'] or 'none'} -> {example['verdict_b'] or 'none'}: {example['id']}"
        )
        lines = [("question", example["question"]), ("gold", example["answer"])]
        for side, ref in (("a", a), ("b", b)):
            lines.append((ref, f"{example[f'predicted_{side}']}  |  {example[f'response_{side}']}"))
        width = max(len(label) for label, _ in lines)
        for label, text in lines:
            print(f"  {label:>{width}}  {_short(text, 300)}")


def _print_beside(rows: list[dict[str, Any]]) -> None:
    print()
    print_table(rows)


def _quantiles(values: list[float] | None) -> str:
    return "-" if values is None else " ".join(f"{value:.0f}" for value in values)


def _apart(x: Any, y: Any, most: int) -> tuple[str, str]:
    """Two values, cut so that the first difference is visible: prompts often differ near the end."""
    one, other = _line(x), _line(y)
    shorter = min(len(one), len(other))
    same = next((i for i in range(shorter) if one[i] != other[i]), shorter)
    if max(len(one), len(other)) > most and same > most // 2:
        one, other = ("..." + text[same - most // 3 :] for text in (one, other))
    return _cut(one, most), _cut(other, most)


def _short(value: Any, most: int) -> str:
    return _cut(_line(value), most)


def _line(value: Any) -> str:
    return "-" if value is None else plain(" ".join(str(value).split()))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
