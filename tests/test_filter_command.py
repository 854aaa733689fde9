"""`vlt filter` as it is typed: its filters run in the order of their options."""

from __future__ import annotations

from pathlib import Path

from tests.cli import vlt, vlt_error, vlt_json
from tests.rows import dataset
from tests.test_filters import thought
from vlt.workspace.store import Store


def chain(workspace: Path, name: str) -> list[str]:
    """The names of the filters that made the newest version."""
    return [entry["filter"] for entry in Store(workspace).open(name).manifest.parameters["chain"]]


def test_filters_run_in_the_order_of_their_options(workspace: Path) -> None:
    short, long = "one two", "one two three Wait, that is four more words."
    rows = [thought(short, index=0), thought(long, index=1)]
    dataset(Store(workspace), "samples", "sample", rows)
    where = ["-w", workspace]
    tight, cut = ["--max-words", 5], "--truncate-reflections"
    first = vlt_json("filter", "samples", "--verify", *tight, cut, *where)
    assert (first["kept"], first["rewritten"]) == (1, {})
    assert chain(workspace, "sft") == ["verify", "not_cut", "max_words", "truncate_reflections"]
    second = vlt_json("filter", "samples", cut, "--verify", *tight, *where)
    assert (second["kept"], second["rewritten"]) == (2, {"truncate_reflections": 1})
    assert chain(workspace, "sft") == ["truncate_reflections", "verify", "not_cut", "max_words"]
    file = workspace / "first.yaml"
    file.write_text("- finish_reason\n")
    vlt("filter", "samples", "--select", "shortest", "--chain", file, *where, code=1)
    vlt("filter", "samples", "--verify", "--select", "shortest", "--chain", file, *where)
    assert chain(workspace, "sft") == ["finish_reason", "verify", "select"]


def test_pass_rates_are_counted_before_the_wrong_go(workspace: Path) -> None:
    rows = [thought("a", answer, i) for i, answer in enumerate(("2", "3", "2", "9"))]
    dataset(Store(workspace), "samples", "sample", rows)
    band = ["--difficulty", "0.4:0.6"]
    for options in (["--dedup", "--verify", *band], ["--dedup", *band, "--verify"]):
        found = vlt_json("filter", "samples", *options, "-w", workspace)
        assert found["kept"] == 2
        expected = ["dedup", "grade", "difficulty", "correct", "not_cut"]
        assert chain(workspace, "sft") == expected


def test_an_order_that_cannot_be_is_one_sentence(workspace: Path) -> None:
    dataset(Store(workspace), "samples", "sample", [thought("a")])
    said = vlt_error("filter", "samples", "--select", "shortest", "--verify", "-w", workspace)
    assert said.endswith("put verify before it")
    assert Store(workspace).all()[-1].ref == "samples@v1"


def test_responses_that_were_cut_do_not_go_to_training(workspace: Path) -> None:
    rows = [thought("a"), thought("b", index=1, finish_reason="length")]
    rows += [thought("c", index=2, finish_reason=None), thought("d", index=3, finish_reason="odd")]
    dataset(Store(workspace), "samples", "sample", rows)
    found = vlt_json("filter", "samples", "--verify", "-w", workspace)
    assert found["kept"] == 3
    assert found["dropped"] == {"not_cut": {"cut at the limit of tokens": 1}}
    assert vlt_json("filter", "samples", "--verify", "--keep-cut", "-w", workspace)["kept"] == 4
    file = workspace / "all.yaml"
    file.write_text("- finish_reason: any\n- verify\n")
    assert vlt_json("filter", "samples", "--chain", file, "-w", workspace)["kept"] == 4
    assert vlt_json("filter", "samples", "--dedup", "-w", workspace)["kept"] == 4
