"""vlt filter: a chain of filters over samples, and the ledger of what each dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.asking import open_workspace
from vlt.cli.lazy import CHOSEN, ORDER, Ordered, lazily
from vlt.cli.options import WORKSPACE, Json, Processes, Ray, Workspace, complete_datasets
from vlt.cli.output import describe, exit_code, print_json, print_table, say
from vlt.cli.progress import watching
from vlt.errors import UsageError
from vlt.plural import plural
from vlt.user_files import read_text

if TYPE_CHECKING:
    from vlt.workspace.manifest import Manifest
    from vlt.workspace.store import Dataset, Store

GENERATE = "vlt gen reasoning"


def _with_filters() -> Any:
    from vlt.cli.filter_options import with_filters

    return with_filters


Command = lazily(_with_filters, Ordered)


def filter_(
    context: typer.Context,
    samples: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SAMPLES",
            help="Samples, captions or items; by default the newest samples.",
            autocompletion=complete_datasets,
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="NAME[=SETTINGS]",
            help="A filter by name, or your own function: file.py:name or module:name; settings "
            'as key=value,... or {"key": value}. Repeatable.',
        ),
    ] = None,
    keep_cut: Annotated[
        bool,
        typer.Option("--keep-cut", help="Keep responses that were cut off at the token limit."),
    ] = False,
    chain: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A YAML list of filters, run before those given as options."
        ),
    ] = None,
    as_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Name of the new dataset. [samples: sft; items and captions: the same name]",
        ),
    ] = None,
    memory: Annotated[
        str, typer.Option(help="DuckDB's memory limit; beyond it, it spills to disk.")
    ] = "1GB",
    processes: Processes = None,  # noqa: ARG001
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Keep what is worth training on; every dropped row is stored with its reason.

    The filters run in the order of their options, after those of --chain. With --verify and
    --difficulty, pass rates are computed before wrong responses are dropped.
    """
    from vlt.cli.filter_options import own_entry
    from vlt.filters.apply import make_filtered

    chosen, owned = context.meta[CHOSEN], iter(own or [])
    filters: list[Any] = [*(_read_chain(chain) if chain else [])]
    given: list[Any] = []
    for name in context.meta[ORDER]:
        entry = own_entry(next(owned)) if name == "own" else chosen.get(name)
        if entry and entry not in given:  # --mixture a=1 --mixture b=2 is one filter
            given.append(entry)
    filters += _pass_rates_first(given)
    if not filters:
        raise UsageError("no filter was named; write e.g. --verify --truncate-reflections --dedup")
    with open_workspace(workspace) as opened, watching("filter"):
        parents = _parents(opened, samples)
        own_name = "sft" if parents[0].kind == "sample" else parents[0].manifest.name
        dataset, existed = make_filtered(
            opened,
            parents,
            chain=filters,
            name=as_name or own_name,
            memory=memory,
            keep_cut=keep_cut,
        )
    if as_json:
        print_json(ledger(dataset.manifest))
    else:
        print_ledger(dataset.manifest)
        print(describe(dataset, existed=existed))
    raise typer.Exit(exit_code(dataset))


def ledger(manifest: Manifest) -> dict[str, Any]:
    """The ledger of a filtered version, as one JSON object."""
    return {
        "dataset": manifest.ref,
        "rows_in": manifest.rows_in,
        "dropped": manifest.dropped,
        "failed": manifest.failed,
        "rewritten": manifest.rewritten,
        "kept": manifest.rows,
        "by_source": manifest.facts.get("by_source", {}),
    }


def print_ledger(manifest: Manifest) -> None:
    """Print rows in, dropped by filter and reason, rewritten, kept; then the same by source."""
    lines: list[dict[str, Any]] = [{"filter": "rows in", "reason": "", "rows": manifest.rows_in}]
    for name in _in_order(manifest):
        for reason, rows in sorted(manifest.dropped.get(name, {}).items(), key=lambda p: -p[1]):
            lines.append({"filter": name, "reason": reason, "rows": -rows})
        if name in manifest.rewritten:
            lines.append({"filter": name, "reason": f"({manifest.rewritten[name]:,} rewritten)"})
    for reason, rows in sorted(manifest.failed.items(), key=lambda p: -p[1]):
        lines.append({"filter": "failed", "reason": reason, "rows": -rows})
    print_table([*lines, {"filter": "kept", "reason": "", "rows": manifest.rows}])
    sources: Mapping[str, Mapping[str, int]] = manifest.facts.get("by_source", {})
    if len(sources) > 1:
        print()
        filters = [name for name in _in_order(manifest) if name in manifest.dropped]
        print_table(
            [
                {"source": source, **{c: counts.get(c, 0) for c in ("in", *filters, "kept")}}
                for source, counts in sources.items()
            ]
        )
    print()


def _in_order(manifest: Manifest) -> list[str]:
    """The names of the filters that dropped or rewrote rows, in the order of the chain."""
    chain = [entry["filter"] for entry in manifest.parameters.get("chain", [])]
    found = {*manifest.dropped, *manifest.rewritten}
    return list(dict.fromkeys([name for name in chain if name in found] + sorted(found)))


def _parents(store: Store, names: Sequence[str] | None) -> list[Dataset]:
    """By default the newest samples generated or judged, not those of an earlier `vlt filter`."""
    if names:
        return [store.open(name) for name in names]
    return store.candidates("sample", by_models=True)[-1:] or [store.newest("sample", GENERATE)]


def _pass_rates_first(given: Sequence[Any]) -> list[Any]:
    """Replace --verify and --difficulty, in either order, by grade, difficulty, correct."""
    names = [entry.get("filter") for entry in given]
    if not {"verify", "difficulty"} <= set(names):
        return [*given]
    verify, band = (given[names.index(name)] for name in ("verify", "difficulty"))
    both = [{**verify, "filter": "grade"}, band, {"filter": "correct"}]
    first = min(names.index("verify"), names.index("difficulty"))
    rest = [entry for entry in given[first:] if entry not in (verify, band)]
    return [*given[:first], *both, *rest]


def _read_chain(file: Path) -> list[Any]:
    import yaml

    try:
        chain = yaml.safe_load(read_text(file, "--chain"))
    except yaml.YAMLError as error:
        raise UsageError(
            f"--chain {str(file)!r} is not YAML: {' '.join(str(error).split())}"
        ) from None
    chain = chain.get("filters", chain) if isinstance(chain, dict) else chain
    if not isinstance(chain, list):
        raise UsageError(f"--chain {str(file)!r} is not a list of filters; write e.g. `- verify`")
    say(f"{plural(len(chain), 'filter')} from {file}")
    from vlt.filters.registry import located

    return located(chain, file.parent)
