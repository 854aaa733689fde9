"""vlt filter: a chain of filters over samples, and the ledger of what each took out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlt.cli.options import WORKSPACE, Json, Workspace, complete_datasets, open_store
from vlt.cli.output import describe, exit_code, print_json, print_table, say
from vlt.errors import UsageError
from vlt.user_files import read_text

if TYPE_CHECKING:
    from vlt.workspace.manifest import Manifest
    from vlt.workspace.store import Dataset, Store

GENERATE = "vlt gen reasoning"
GIVEN = "filters in the order given"


def _note_place(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:
    """Called for each filter's option in the order of the command line, which the chain keeps."""
    context.meta.setdefault(GIVEN, []).append(option.name)
    return value


def Filter(*names: str, **settings: Any) -> Any:
    """The option of a filter."""
    return typer.Option(*names, callback=_note_place, **settings)


def filter_(
    context: typer.Context,
    samples: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SAMPLES",
            help="Datasets; by default the newest samples.",
            autocompletion=complete_datasets,
        ),
    ] = None,
    drop_flagged: Annotated[
        bool, Filter("--drop-flagged", help="Drop what you flagged in `vlt view`.")
    ] = False,
    verify: Annotated[bool, Filter("--verify", help="Grade, and keep the correct.")] = False,
    grader: Annotated[str, typer.Option(help="vlt, or paper: upstream's rule.")] = "vlt",
    finish: Annotated[
        bool, Filter("--finish-reason", help="Keep what the model brought to its end.")
    ] = False,
    max_words: Annotated[
        int | None, Filter(metavar="N", help="Longest reasoning, in words (paper: 500).")
    ] = None,
    max_tokens: Annotated[
        int | None,
        Filter(metavar="N", help="Most tokens of prompt, images and response, by --model."),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="M", help="With --max-tokens: the model that will be trained.")
    ] = "",
    truncate: Annotated[
        bool,
        Filter("--truncate-reflections", help="Cut at the first 'Wait,' and keep the answer."),
    ] = False,
    repetition: Annotated[bool, Filter("--repetition", help="Drop looped text.")] = False,
    leakage: Annotated[
        str | None,
        Filter(metavar="drop|rewrite", help="Responses that speak of the caption."),
    ] = None,
    form: Annotated[
        bool, Filter("--format", help="Keep <think>...</think> <answer>...</answer>.")
    ] = False,
    disagreement: Annotated[
        bool, Filter("--disagreement", help="Drop where reasoning and answer differ.")
    ] = False,
    language: Annotated[
        bool, Filter("--language", help="Drop what falls into another script.")
    ] = False,
    difficulty: Annotated[
        str | None, Filter(metavar="LOW:HIGH", help="Items by pass rate, e.g. 0.2:0.8.")
    ] = None,
    select: Annotated[
        str | None,
        Filter(
            metavar="POLICY",
            help="Which correct responses of an item: shortest, longest-but-one, distinct, first.",
        ),
    ] = None,
    cap: Annotated[
        int | None, typer.Option(metavar="N", help="With --select: responses of an item.")
    ] = None,
    mixture: Annotated[
        list[str] | None, Filter(metavar="SOURCE=N", help="Rows of a source; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="With --mixture: which rows are drawn.")] = 0,
    dedup: Annotated[
        bool, Filter("--dedup", help="One item of each question, choices and images.")
    ] = False,
    chain: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A YAML list of filters, run before the options' ones."),
    ] = None,
    as_name: Annotated[
        str, typer.Option("--as", metavar="NAME", help="Name of the new dataset.")
    ] = "sft",
    memory: Annotated[str, typer.Option(help="DuckDB's memory; it spills beyond.")] = "1GB",
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Keep what is worth training on; every row taken out is kept aside with its reason.

    The filters run in the order of their options, after those of --chain. With --verify and
    --difficulty, pass rates are counted before the wrong responses go.
    """
    from vlt.filters.apply import make_filtered

    store = open_store(workspace)
    tokens = {"filter": "max_tokens", "tokens": max_tokens, "model": model}
    named: dict[str, list[dict[str, Any]]] = {
        "drop_flagged": [{"filter": "flagged"}] if drop_flagged else [],
        "verify": [{"filter": "verify", "grader": grader}] if verify else [],
        "finish": [{"filter": "finish_reason"}] if finish else [],
        "max_words": [{"filter": "max_words", "words": max_words}] if max_words is not None else [],
        "max_tokens": [tokens] if max_tokens is not None else [],
        "truncate": [{"filter": "truncate_reflections"}] if truncate else [],
        "repetition": [{"filter": "repetition"}] if repetition else [],
        "leakage": [{"filter": "leakage", "action": leakage}] if leakage else [],
        "form": [{"filter": "format"}] if form else [],
        "disagreement": [{"filter": "disagreement"}] if disagreement else [],
        "language": [{"filter": "language"}] if language else [],
        "difficulty": [{"filter": "difficulty", "band": difficulty}] if difficulty else [],
        "select": [{"filter": "select", "policy": select, "cap": cap}] if select else [],
        "mixture": [{"filter": "mixture", "rows": _rows(mixture), "seed": seed}] if mixture else [],
        "dedup": [{"filter": "dedup"}] if dedup else [],
    }
    order = context.meta[GIVEN]
    if verify and difficulty:
        first, second = sorted(("verify", "difficulty"), key=order.index)
        grade, band = {"filter": "grade", "grader": grader}, named["difficulty"]
        named[first], named[second] = [grade, *band, {"filter": "correct"}], []
    filters = [*(_read_chain(chain) if chain else [])]
    filters += [entry for name in order for entry in named[name]]
    if cap is not None and not select:
        raise UsageError(
            "--cap says how many responses --select keeps; write --select shortest too"
        )
    if not filters:
        raise UsageError("no filter was named; write e.g. --verify --truncate-reflections --dedup")
    dataset, existed = make_filtered(
        store, _parents(store, samples), chain=filters, name=as_name, memory=memory
    )
    if as_json:
        print_json(ledger(dataset.manifest))
    else:
        print_ledger(dataset.manifest)
        print(describe(dataset, existed=existed))
    raise typer.Exit(exit_code(dataset))


def ledger(manifest: Manifest) -> dict[str, Any]:
    """What the ledger of a filtered version says, as one JSON object."""
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
    """Rows in, taken out by filter and reason, rewritten, kept; then the same by source."""
    lines: list[dict[str, Any]] = [{"filter": "rows in", "reason": "", "rows": manifest.rows_in}]
    for name in _in_order(manifest):
        for reason, rows in sorted(manifest.dropped.get(name, {}).items(), key=lambda p: -p[1]):
            lines.append({"filter": name, "reason": reason, "rows": -rows})
        if name in manifest.rewritten:
            lines.append({"filter": name, "reason": f"({manifest.rewritten[name]:,} rewritten)"})
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
    """The names of the filters that took out or rewrote rows, in the order of the chain."""
    chain = [entry["filter"] for entry in manifest.parameters.get("chain", [])]
    found = {*manifest.dropped, *manifest.rewritten}
    return list(dict.fromkeys([name for name in chain if name in found] + sorted(found)))


def _parents(store: Store, names: Sequence[str] | None) -> list[Dataset]:
    """By default the newest samples that a model gave: not those of an earlier `vlt filter`."""
    if names:
        return [store.open(name) for name in names]
    given = [d for d in store.all() if d.kind == "sample" and d.manifest.stage.startswith("gen ")]
    return given[-1:] or [store.newest("sample", GENERATE)]


def _rows(mixture: Sequence[str]) -> dict[str, int]:
    rows = {}
    for entry in mixture:
        source, equals, count = entry.rpartition("=")
        if not equals or not source or not count.isdigit():
            raise UsageError(
                f"--mixture {entry!r} is not SOURCE=N; write e.g. --mixture clevr=1000"
            )
        rows[source] = int(count)
    return rows


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
        raise UsageError(f"--chain {str(file)!r} holds no list of filters; write e.g. `- verify`")
    say(f"{len(chain)} filters from {file}")
    return chain
