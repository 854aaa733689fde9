"""What `vlt eval` prints: models side by side, sub-fields, the paired test, the published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vlt.cli.output import describe, percent, print_json, print_table, say
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.workspace.store import Dataset, Store

Made = tuple[str, "Dataset", bool]
"""(model as given, its evaluation, whether that existed already)"""


def print_benchmarks(as_json: bool) -> None:
    """Print the benchmarks, and where they are hosted."""
    from vlt.datagen.benchmarks import BENCHMARKS

    if as_json:
        print_json([asdict(benchmark) for benchmark in BENCHMARKS])
        return
    print_table(
        [
            {
                "name": benchmark.name,
                "rows": benchmark.rows,
                "Hub id": benchmark.repo,
                "config": benchmark.config,
                "split": benchmark.split,
                "published": ", ".join(f"{p.model} {p.accuracy:.1f}" for p in benchmark.published)
                or None,
            }
            for benchmark in BENCHMARKS
        ]
    )
    say("licences and where each fact is from: `vlt eval --list --json`")


def report(
    store: Store,
    items: Dataset,
    made: Sequence[Made],
    as_json: bool,
    without: Sequence[Made] = (),
) -> None:
    """Print all results; with several models, each one compared with the first.

    `without` are the same models, asked without the items' own images.
    """
    from vlt.evaluation.compare import compare
    from vlt.evaluation.image_worth import image_worth

    comparisons = [
        {"model": model, "against": made[0][0], **compare(store, made[0][1], version)}
        for model, version, _ in made[1:]
    ]
    pairs = zip(made, without, strict=bool(without))
    worth = [(own[0], image_worth(store, own[1], other[1])) for own, other in pairs]
    if as_json:
        print_json(
            {
                "dataset": items.ref,
                "benchmark": items.manifest.facts.get("benchmark"),
                "left_out": left_out(items),
                "models": [_as_json(*one) for one in made],
                "comparisons": comparisons,
                "without": [_as_json(*one) for one in without],
                "image_worth": [{"model": model, **asdict(found)} for model, found in worth],
            }
        )
        return
    _print_models(made, without)
    _print_parts(made)
    for comparison in comparisons:
        print()
        print("\n".join(_in_words(comparison)))
    for model, found in worth:
        print(f"\n{model}: {found.sentence()}")
    _print_rest(items, [*made, *without])


def left_out(items: Dataset) -> int:
    """Rows of the source that did not become items: with any, the benchmark is incomplete."""
    m = items.manifest
    if m.stage != "import":
        return 0
    return sum(m.failed.values()) + sum(sum(counts.values()) for counts in m.dropped.values())


def _as_json(model: str, version: Dataset, existed: bool) -> dict[str, Any]:
    m = version.manifest
    fields = {"name": m.name, "version": m.version, "rows": m.rows, "existed": existed}
    return {"model": model, "ref": m.ref, **fields, **m.facts}


def _print_models(made: Sequence[Made], without: Sequence[Made]) -> None:
    rows = []
    for model, version, _ in [*made, *without]:
        facts = version.manifest.facts
        rows.append(
            {
                "model": f"{model}, images {facts['images']}" if "images" in facts else model,
                "accuracy": percent(facts["accuracy"]),
                "in format": f"{100 * facts['strict']['value']:.1f} %",
                "items": facts["accuracy"]["n"],
                "truncated": f"{facts['truncated']:.1%}",
                "not extracted": f"{facts['not_extracted']:.1%}",
                "unjudged": facts["unjudged"],
                "tokens": round(facts["tokens"]),
            }
        )
    published = made[0][1].manifest.facts.get("published", [])
    rows += [
        {"model": f"published: {p['model']}", "accuracy": f"{p['accuracy']:.1f} %"}
        for p in published
    ]
    print_table(rows, list(rows[0]))
    for source in dict.fromkeys(p["source"] for p in published):
        print(f"published: {source}")


def _print_parts(made: Sequence[Made]) -> None:
    """Print one table for each sub-field and for the groups; without a benchmark, by source."""
    facts = [version.manifest.facts for _, version, _ in made]
    tables = {"groups": "together"} if facts[0].get("together") else {}
    parts: dict[str, list[Any]] = {
        label: [each.get("fields", {}).get(label, {}) for each in facts]
        for label in facts[0].get("fields", {})
    }
    parts.update({label: [each[name] for each in facts] for label, name in tables.items()})
    if not facts[0].get("benchmark") and len(facts[0]["sources"]) > 1:
        parts["source"] = [each["sources"] for each in facts]
    names = [model for model, _, _ in made]
    for label, scores in parts.items():
        print()
        values = list(dict.fromkeys(value for each in scores for value in each))
        print_table(
            [
                {
                    label: value,
                    **{
                        name: percent(each.get(value))
                        for name, each in zip(names, scores, strict=True)
                    },
                    "n": next((each[value]["n"] for each in scores if value in each), None),
                }
                for value in values
            ]
        )


def _in_words(c: dict[str, Any]) -> list[str]:
    difference, low, high = (100 * c[name] for name in ("difference", "low", "high"))
    p = f"p = {c['p']:.3f}" if c["p"] >= 0.001 else "p < 0.001"
    return [
        f"{c['model']} against {c['against']}: {difference:+.1f} points "
        f"[{low:+.1f}, {high:+.1f}], {c['test']}: {p}",
        f"  {plural(c['solved'], 'item')} newly solved, {c['lost']:,} newly lost, of {c['n']:,}",
    ]


def _print_rest(items: Dataset, made: Sequence[Made]) -> None:
    """Print what a reader should know before quoting a number, and where the verdicts are."""
    print()
    for _, version, existed in made:
        print(describe(version, existed=existed))
        m = version.manifest
        for reason, count in m.failed.items():
            say(f"  {count:,} without an answer, counted as wrong: {reason}")
        if m.facts.get("judge_failed"):
            say(
                f"  {m.facts['judge_failed']:,} could not be judged and count as wrong; "
                "--retry-failed asks again"
            )
    asked = made[0][1].manifest.facts["accuracy"]["n"]
    if items.kind == "item" and asked < items.manifest.rows:
        say(f"  only {asked:,} of {plural(items.manifest.rows, 'item')} asked (--limit)")
    if missing := left_out(items):
        say(f"  {plural(missing, 'row')} did not become items: `vlt show {items.ref} --dropped`")
