"""What a version was made from, as a tree: wrapped on a terminal, elsewhere one line each."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vlt.cli.output import plain
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.workspace.lineage import Ancestor
    from vlt.workspace.store import Dataset

NARROW, WIDE = 40, 150
"""Minimum columns of a text, and the width without a terminal."""
DIGEST = re.compile(r"[0-9a-f]{40,}")
SHOWN = 12
"""Characters of a digest."""
LONGEST = 600
"""Characters of a parameter shown on a terminal."""


def print_tree(versions: Sequence[Ancestor], arms: Mapping[str, Sequence[str]]) -> None:
    """Print each version below what was made from it, with its parameters; `arms`: version -> arms."""
    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size((WIDE, 24)).columns
    depths = [a.depth for a in versions]
    for place, a in enumerate(versions):
        branch, under = _branches(depths, place)
        labels = arms.get(a.dataset.ref, ())
        who = plain(_arms(labels)) if not a.again else ""
        beside = not terminal or len(labels) == 1  # several have a line of their own
        again = (f"  [{who}]" if who and beside else "") + ("  (see above)" if a.again else "")
        if terminal:
            head = _head(a.dataset, columns - len(branch) - len(again))
            beside = len(branch + head + again) <= columns
            print(branch + head + (again if beside or a.again else ""))
        else:
            print(branch + _whole(a.dataset) + again)
        if a.again:
            continue
        room = max(NARROW, columns - len(under) - 2)
        if who and not (again and beside):
            for line in _folded("arms", who, room):
                print(f"{under}  {line}")
        for name, value in a.dataset.manifest.parameters.items():
            if value in ("", None):
                continue
            for line in _folded(name, value, room) if terminal else [_cut(name, value, room)]:
                print(f"{under}  {line}")
        if opened := a.dataset.manifest.facts.get("prompt_opens"):
            print(f"{under}  the prompt opens the reasoning: {plain(opened.strip())}")


def _arms(labels: Sequence[str]) -> str:
    """`mine, loop, seed 1` as it is; several as `mine: loop (seeds 1, 2), grpo-only (seed 1)`."""
    if len(labels) < 2:
        return "".join(labels)
    seeds: dict[str, dict[str, list[str]]] = {}
    for label in labels:
        arm, _, seed = label.rpartition(", seed ")
        recipe, _, arm = arm.rpartition(", ")
        seeds.setdefault(recipe, {}).setdefault(arm, []).append(seed)
    return "; ".join(
        f"{recipe}: "
        + ", ".join(f"{a} (seed{'s'[: len(n) > 1]} {', '.join(n)})" for a, n in arms.items())
        for recipe, arms in seeds.items()
    )


def _branches(depths: list[int], place: int) -> tuple[str, str]:
    """The prefix of a version in the tree, and of the lines below it."""
    depth, rest = depths[place], depths[place + 1 :]

    def goes_on(level: int) -> bool:
        """Whether another version of this level comes before one closer to the root."""
        return next((d == level for d in rest if d <= level), False)

    before = "".join("│  " if goes_on(level) else "   " for level in range(1, depth))
    knot = ("├─ " if goes_on(depth) else "└─ ") if depth else ""
    side = ("│  " if goes_on(depth) else "   ") if depth else ""
    return before + knot, before + side + ("│" if rest[:1] == [depth + 1] else " ")


def _whole(version: Dataset) -> str:
    m = version.manifest
    return f"{version.ref}  ({_made(version)}; digest {m.digest[:SHOWN]}; {m.created[:19]})"


def _made(version: Dataset) -> str:
    m = version.manifest
    rows = "" if m.kind == "checkpoint" else f", {plural(m.rows, m.kind)} of {m.rows_in:,}"
    return f"{plain(m.stage)}{rows}"


def _head(version: Dataset, room: int) -> str:
    """As much of it as there is room for: the digest is dropped first, then the time."""
    m = version.manifest
    when = m.created[:16].replace("T", " ")
    begins = f"{version.ref}  ({_made(version)}"
    ends = (f"; digest {m.digest[:SHOWN]}; {when})", f"; {when})", ")")
    return next((begins + end for end in ends if len(begins + end) <= room), begins + ")")


def _cut(name: str, value: Any, room: int) -> str:
    text = plain(" ".join(f"{name}: {value}".split()))
    return text if len(text) <= room else text[: room - 3] + "..."


def _folded(name: str, value: Any, room: int) -> Iterator[str]:
    """The parameter as text, with continuation lines indented."""
    text = plain(" ".join(f"{name}: {_words(value)}".split()))
    text = text if len(text) <= LONGEST else text[:LONGEST] + " ... (--json shows all)"
    yield from textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False)


def _words(value: Any, *, inside: bool = False) -> str:
    """{"k": 4, "seed": None} as `k 4`: empty values are left out, and digests are cut."""
    if isinstance(value, Mapping):
        named = "filter" if "filter" in value else ""  # an entry of a chain begins with its name
        rest = {k: v for k, v in value.items() if k != named and v not in (None, "", [], {})}
        parts = [k if k == v else f"{k} {_words(v, inside=True)}" for k, v in rest.items()]
        if named:
            return f"{value[named]} ({', '.join(parts)})" if parts else str(value[named])
        return f"({', '.join(parts)})" if inside else ", ".join(parts)
    if isinstance(value, list | tuple):
        words = ", ".join(_words(v, inside=True) for v in value)
        return f"[{words}]" if inside else words
    return str(value)[:SHOWN] if DIGEST.fullmatch(str(value)) else str(value)
