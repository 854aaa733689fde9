"""vlt report as a command: which run, what is missing, and where the file is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.made_run import BASE, K, checkpoint, evaluation, filtered, made_run, write
from tests.report_page import Page
from tests.rows import dataset, item, sample
from vlt.report import Found, find, report_html
from vlt.runs.record import RecordedRun
from vlt.workspace.manifest import Stage
from vlt.workspace.progress import tracked
from vlt.workspace.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Two rounds, found."""
    store = Store(tmp_path_factory.mktemp("report") / "workspace")
    made_run(store)
    return find(store)


def test_up_to_a_round_and_by_the_recipes_name(run: Found) -> None:
    store = run.store
    first = find(store, "grpo-model@r1")
    assert [r.number for r in first.rounds] == [1]
    assert [e.model for e in first.evaluations] == ["base", "SFT 1", "GRPO 1"]
    with RecordedRun(store.root, "mine", [(1, "sft", "", ""), (1, "sft-model", "", "")]) as record:
        record.begin(1, "sft")
        assert "has made nothing yet" in vlt_error("report", "mine", "-w", store.root)
        record.end(1, "sft", "sft@v1", False)
    assert [r.number for r in find(store, "mine").rounds] == [1]
    said = vlt("report", "mine", "-w", store.root)
    assert said.startswith(str(store.root / "report-mine.html"))
    assert "no dataset 'yours'" in vlt_error("report", "yours", "-w", store.root)


def test_only_samples_then_a_model_by_hand(workspace: Path) -> None:
    store = Store(workspace)
    assert "is empty: nothing to report on yet" in vlt_error("report", "-w", workspace)
    of = item()
    items = dataset(store, "items", "item", [of])
    assert "has 1 version but no samples" in vlt_error("report", "-w", workspace)
    drawn = [sample(f"<answer>{n}</answer>", n, of) for n in range(K)]
    samples = write(store, Stage("gen rollouts", {"model": BASE}), "s", "sample", drawn, [items])
    alone = Page(report_html(find(store)))
    for sentence in (
        "no model has been evaluated",
        "No samples have been graded",
        "Nothing has been trained",
    ):
        assert sentence in alone.text
    assert [title for title, _ in alone.examples] == ["typical of the samples"] * 3
    graded = [{**row, "verdict": "correct" if row["sample"] else "wrong"} for row in drawn]
    sft = filtered(store, samples, graded)
    checkpoint(store, "mine", "train sft", [sft], None, BASE)
    evaluation(store, "eval-x", items, {"name": "x", "revision": None}, 0)
    whole = Page(report_html(find(store)))
    assert "accuracy on items of x" in whole.text
    assert "The last step is what was trained on." in whole.text


def test_one_round_without_evaluations(workspace: Path) -> None:
    made_run(Store(workspace), rounds=1, evaluated=False)
    found = vlt_json("report", "-w", workspace)
    assert found["missing"] == {"round 1": ["eval-sft", "eval-grpo"]}
    assert (found["rounds"], found["evaluations"]) == ([1], [])
    page = Page((workspace / "report.html").read_text())
    assert "1 round; no model has been evaluated yet." in re.sub(r"\s+([;.])", r"\1", page.text)
    assert "Not made yet in round 1: eval-sft, eval-grpo." in page.text


def test_while_a_version_is_written_and_after_it_was_not(workspace: Path) -> None:
    made_run(Store(workspace), rounds=1)
    with pytest.raises(RuntimeError), tracked(workspace, "sft", "sample", "filter"):
        found = vlt_json("report", "-w", workspace)
        assert (found["writing"], found["unfinished"]) == (["sft"], [])
        assert "sft is being written now" in (workspace / "report.html").read_text()
        raise RuntimeError("the disk is full")
    found = vlt_json("report", "-w", workspace)
    assert (found["writing"], found["unfinished"]) == ([], ["sft"])
    assert "sft was not made: RuntimeError: the disk" in (workspace / "report.html").read_text()


@pytest.mark.parametrize(
    ("to", "says", "code"),
    [
        ("{}", "is not an HTML file", 2),
        ("{}/x.txt", "write --to x.html", 2),
        ("{}/none/x.html", "there is no folder", 2),
        ("{}/file/x.html", "there is no folder", 2),
        ("{}/folder.html", "is not an HTML file", 2),
        ("/proc/x.html", "cannot be written to '/proc/x.html'", 1),
    ],
)
def test_places_where_no_report_can_lie(
    run: Found, tmp_path: Path, to: str, says: str, code: int
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert says in vlt_error("report", "-w", run.store.root, "--to", to.format(tmp_path), code=code)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_report_takes_the_place_of_the_one_before(run: Found, tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    file.write_text("before")
    said = vlt("report", "-w", run.store.root, "--to", file)
    assert said.strip() == f"{file} ({file.stat().st_size / 1000:.1f} kB)"
    assert file.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [file]
