"""vlt report: every number checked against the manifests and rows, counted independently."""

from __future__ import annotations

import json
import math
import statistics
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.made_run import BASE, HELD_OUT, evaluation, made_run
from tests.report_page import Page
from tests.rows import dataset, item
from vlt.report import Found, find, report_html
from vlt.report.numbers import by_stage, changes, costs, funnel, metrics, pass_at, per_verified
from vlt.report.responses import bins, responses
from vlt.workspace.store import Dataset, Store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Two rounds, found."""
    store = Store(tmp_path_factory.mktemp("report") / "workspace")
    made_run(store)
    return find(store)


@pytest.fixture(scope="module")
def page(run: Found) -> Page:
    """Its report."""
    return Page(report_html(run))


def rows(version: Dataset, *, dropped: bool = True) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = version.table().to_pylist()
    return found + (version.dropped.table().to_pylist() if dropped else [])


def right(version: Dataset) -> set[str]:
    return {row["id"] for row in rows(version) if row["verdict"] == "correct"}


def test_accuracy_with_wilsons_interval(run: Found, page: Page) -> None:
    assert [e.model for e in run.evaluations] == ["base", "SFT 1", "GRPO 1", "SFT 2", "GRPO 2"]
    table = page.table("accuracy, %")
    for evaluation_, row in zip(run.evaluations, table, strict=True):
        p, n, z = len(right(evaluation_.dataset)) / HELD_OUT, HELD_OUT, 1.959964
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
        low, high = 100 * (middle - half), 100 * (middle + half)
        assert row["accuracy, %"] == f"{100 * p:.1f} [{low:.1f}, {high:.1f}]"
        assert (row["model"], row["items"], row["n"]) == (evaluation_.model, "heldout", "20")
        note = f"{evaluation_.model}, heldout: {100 * p:.1f} % [{low:.1f}, {high:.1f}]"
        assert note in page.texts, "the figure says what the table says"


def test_newly_solved_and_lost(run: Found, page: Page) -> None:
    table = page.table("newly solved")
    pairs = [(c["earlier"], c["later"]) for c in changes(run)]
    assert ("GRPO 1", "GRPO 2") in [(a.model, b.model) for a, b in pairs]
    for (first, second), row in zip(pairs, table, strict=True):
        before, after = right(first.dataset), right(second.dataset)
        assert row["newly solved"] == str(len(after - before))
        assert row["newly lost"] == str(len(before - after))
        points = 100 * (len(after) - len(before)) / HELD_OUT
        assert row["difference, points"].startswith(f"{points:+.1f} [")
    (last,) = [row for row in table if (row["from"], row["to"]) == ("GRPO 1", "GRPO 2")]
    assert (last["newly solved"], last["newly lost"]) == ("7", "1")


def test_the_funnel_adds_up(run: Found, page: Page) -> None:
    for each in run.rounds:
        steps = funnel(each)
        sft = each.named["sft"]
        assert [s["step"] for s in steps[-4:]] == ["verify", "select", "repetition", "failed"]
        assert steps[-1]["rows"] == sft.manifest.rows == len(rows(sft, dropped=False))
        for before, after in zip(steps[-5:-1], steps[-4:], strict=True):
            assert after["rows"] == before["rows"] - after["out"]
        gone = sft.dropped.table().to_pylist()
        for step in steps[-4:]:
            assert step["out"] == sum(row["filter"] == step["step"] for row in gone)
            for reason, count in step["reasons"].items():
                assert count == sum(
                    (row["filter"], row["reason"]) == (step["step"], reason) for row in gone
                )
    assert [s["step"] for s in funnel(run.rounds[0])[:3]] == ["items", "captions", "samples"]
    assert [s["rows"] for s in funnel(run.rounds[1])[:2]] == [12, 48]
    (why, *_) = page.table("reason")
    assert (why["step"], why["reason"], why["rows"]) == ("verify", "wrong", "26")


def test_pass_at_k_over_all_choices_of_k_samples(run: Found, page: Page) -> None:
    table = {(row[""], row["source"]): row["pass@k"] for row in page.table("pass@k")}
    for each in run.rounds:
        drawn: dict[str, dict[str, list[bool]]] = {}
        for row in rows(each.named["sft"]):
            of = drawn.setdefault(row["source"], {})
            of.setdefault(row["id"], []).append(row["verdict"] == "correct")
        for source, by_item in drawn.items():
            for k in (1, 2, 4):
                rates = [
                    statistics.mean(any(some) for some in combinations(samples, k))
                    for samples in by_item.values()
                ]
                expected = statistics.mean(rates)
                assert pass_at(each)[source][f"pass@{k}"] == pytest.approx(expected, abs=6e-5)
                assert f"pass@{k} {expected:.3f}" in table[each.label, source]


def test_lengths_and_reflections(run: Found, page: Page) -> None:
    table = {row["version"]: row for row in page.table("reflections")}
    for name in ("samples@v1", "sft@v2", "eval-grpo@v2"):
        held = rows(run.store.open(name), dropped=False)
        words = [len((r["reasoning"] or r["response"]).split()) for r in held]
        row = table[name]
        assert row["rows"] == str(len(held))
        assert row["median"] == f"{statistics.median(words):,.0f}"
        assert row["mean"] == f"{statistics.mean(words):.1f}"
        waits = sum("Wait," in r["response"] for r in held)
        assert row["reflections"] == f"{100 * waits / len(held):.1f} %"
        tokens = statistics.mean(r["completion_tokens"] for r in held)
        assert row["tokens"] == f"{tokens:.1f}"
        found = responses(run.store.open(name))
        edges, (shares,) = bins([found.words])
        assert len({b - a for a, b in pairwise(edges)}) == 1
        last = len(edges) - 2
        for i, share in enumerate(shares):
            inside = [w for w in words if edges[i] <= w and (w < edges[i + 1] or i == last)]
            assert share == pytest.approx(len(inside) / len(words))


def test_training_curves_leave_out_what_is_no_number(run: Found, page: Page) -> None:
    reward = metrics(run.store.open("grpo-model@r2"))["reward"]
    assert [step for step, _ in reward] == [1, 2, 3, 5, 6, 7, 8]
    assert [value for _, value in reward] == pytest.approx([0.1 * step for step, _ in reward])
    for step in (1, 2, 3, 5, 8):
        assert f"GRPO 1, step {step}: {0.1 * step:.4g}" in page.texts
        assert f"GRPO 2, step {step}: {20 + step}" in page.texts
    assert {"GRPO step", "mean reward", "mean length (tokens)"} <= set(page.texts)
    row = page.table("trained parameters")[0]
    assert (row["training"], row["steps"], row["trained parameters"]) == ("SFT 1", "8", "1,234")


def test_cost_of_a_verified_sample_and_of_stages(run: Found, page: Page) -> None:
    table = page.table("verified samples")
    for each, row in zip(run.rounds, table, strict=True):
        drawn = rows(each.named["samples"])
        verified = sum(r["verdict"] == "correct" for r in rows(each.named["sft"]))
        read = sum(r["prompt_tokens"] for r in drawn if r["sample"] == 0)
        tokens = read + sum(r["completion_tokens"] for r in drawn)
        paid = 2.5 if each.number == 1 else 2.0
        assert row["verified samples"] == str(verified)
        assert row["tokens"] == f"{tokens / verified:,.1f}"
        assert row["cost"] == f"${paid / verified:.2g}"
        seconds = sum(v.manifest.seconds for v in each.chain if v.manifest.stage.startswith("gen "))
        found = per_verified(each)
        assert found and found["seconds"] == pytest.approx(seconds / verified)
    stages = {row["stage"]: row["rounds"] for row in by_stage(costs(run))}
    made = [v.manifest for v in run.versions if (v.manifest.round or 0) == 1]
    for stage in ("gen captions", "gen reasoning", "gen rollouts", "train grpo", "eval"):
        of_stage = [m for m in made if m.stage == stage]
        tokens = sum(m.prompt_tokens + m.completion_tokens for m in of_stage)
        assert stages[stage][1]["tokens"] == tokens
        assert stages[stage][1]["seconds"] == pytest.approx(sum(m.seconds for m in of_stage))
    assert stages["gen captions"][1]["money"] == 0.5
    assert list(stages) == [
        "import",
        "gen captions",
        "gen reasoning",
        "gen rollouts",
        "filter",
        "train sft",
        "train grpo",
        "eval",
    ]


def test_examples_are_what_they_are_called(run: Found, page: Page) -> None:
    store = run.store
    before, after = (right(store.open(f"eval-grpo@r{n}")) for n in (1, 2))
    titles = [title for title, _ in page.examples]
    groups = list(dict.fromkeys(" ".join(title.split()[:2]) for title in titles))
    assert groups == ["newly solved", "newly lost", "typical of", "dropped by"]
    assert len(titles) <= 10
    for title, start in page.examples:
        ids = {row["id"] for row in rows(store.open(page.example_ref(title, start)))}
        (whole,) = [id for id in ids if id.startswith(start)]
        if title == "newly solved by GRPO 2":
            assert whole in after - before
        elif title == "newly lost by GRPO 2":
            assert whole in before - after
        elif title.startswith("typical"):
            assert whole in {r["id"] for r in rows(store.open("sft@r2"), dropped=False)}
        else:
            taken = {
                r["id"] for r in rows(store.open("sft@r2")) if title.endswith(r.get("filter", "?"))
            }
            assert whole in taken
    assert len(page.images) == len(titles)
    assert all(source.startswith("data:image/webp;base64,") for source in page.images)


def test_settings_and_lineage(run: Found, page: Page) -> None:
    for version in run.versions:
        assert version.manifest.digest in page.text
        assert json.dumps(version.manifest.parameters, indent=1) in page.text
    assert page.ids >= {v.ref for v in run.versions}


def test_benchmarks_are_lines_of_their_own(workspace: Path) -> None:
    store = Store(workspace)
    made_run(store, rounds=1)
    bench = dataset(store, "bench", "item", [item(f"{i}?", str(i)) for i in range(HELD_OUT)])
    tuned = store.open("grpo-model@r1")
    evaluation(store, "eval-bench-base", bench, BASE, 0)
    digest = {"digest": tuned.manifest.digest}
    evaluation(store, "eval-bench", bench, digest, 2, tuned)
    stranger = {"name": "somebody/else", "revision": None}
    evaluation(store, "eval-other", bench, stranger, 3)
    page = Page(report_html(find(store)))
    table = page.table("accuracy, %")
    assert [(row["model"], row["items"]) for row in table] == [
        ("base", "bench"),
        ("base", "heldout"),
        ("SFT 1", "heldout"),
        ("GRPO 1", "bench"),
        ("GRPO 1", "heldout"),
        ("somebody/else", "bench"),
    ]
    assert [row["accuracy, %"][:4] for row in table] == [
        "25.0",
        "25.0",
        "45.0",
        "65.0",
        "65.0",
        "85.0",
    ]
    assert {"bench", "heldout"} <= set(page.texts), "the figure's legend"
    assert not [t for t in page.texts if t.startswith("somebody/else, bench:")]
    pairs = {(row["from"], row["to"], row["items"]) for row in page.table("newly solved")}
    assert ("base", "GRPO 1", "bench") in pairs
