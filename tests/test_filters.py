"""Filters over real versions: what each keeps, drops and rewrites, and that no row vanishes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.filters.pass_rate import pass_rates
from vlt.filters.protocol import settings
from vlt.filters.registry import parse_chain
from vlt.workspace.store import Dataset, Store


@pytest.fixture
def store(workspace: Path) -> Store:
    """An empty workspace."""
    return Store(workspace)


def thought(text: str, answer: str = "2", index: int = 0, **fields: Any) -> dict[str, Any]:
    """A sample that reasons `text` and answers."""
    response = f"<think>{text}</think>\n<answer>{answer}</answer>"
    return sample(response, index, **{"reasoning": text, **fields})


def filtered(store: Store, rows: Sequence[dict[str, Any]], *chain: Any) -> Dataset:
    """The version that the chain leaves of these rows."""
    samples = dataset(store, "samples", "sample", rows)
    made, existed = make_filtered(store, samples, chain=chain)
    assert not existed
    out = {(row["id"], row["sample"]) for row in made.table().to_pylist()}
    gone = {(row["id"], row["sample"]) for row in made.dropped.table().to_pylist()}
    assert not out & gone
    assert out | gone == {(row["id"], row["sample"]) for row in rows}
    return made


def kept(made: Dataset) -> list[int]:
    """The sample numbers that stayed."""
    return made.table()["sample"].to_pylist()


def why(made: Dataset) -> dict[int, str]:
    """Sample number -> `filter: reason` of the dropped rows."""
    rows = made.dropped.table().to_pylist()
    return {row["sample"]: f"{row['filter']}: {row['reason']}" for row in rows}


def test_verify_keeps_the_correct_and_writes_the_verdict_of_all(store: Store) -> None:
    made = filtered(store, [thought("a"), thought("b", "3", 1), sample("nothing", 2)], "verify")
    assert kept(made) == [0]
    (row,) = made.table().to_pylist()
    assert (row["verdict"], row["predicted"]) == ("correct", "2")
    assert {row["verdict"] for row in made.dropped.table().to_pylist()} == {"wrong"}
    assert made.manifest.dropped == {"verify": {"wrong": 2}}


def test_grade_keeps_all_and_correct_grades_nothing(store: Store) -> None:
    rows = [thought("a"), thought("b", "3", 1)]
    made = filtered(store, rows, "grade")
    assert made.table()["verdict"].to_pylist() == ["correct", "wrong"]
    again, _ = make_filtered(store, made, chain=["correct"], name="again")
    assert kept(again) == [0]


def test_finish_reason(store: Store) -> None:
    rows = [thought("a"), thought("b", index=1, finish_reason="length")]
    made = filtered(store, [*rows, thought("c", index=2, finish_reason=None)], "finish_reason")
    assert why(made) == {
        1: "finish_reason: finished by length",
        2: "finish_reason: finished by an unknown reason",
    }


def test_max_words_counts_the_reasoning_and_else_the_response(store: Store) -> None:
    rows = [
        thought("one two three"),
        thought("one  two\nthree\tfour", index=1),
        sample("one two three four", 2),
        sample("", 3),
    ]
    made = filtered(store, rows, {"max_words": 3})
    assert kept(made) == [0, 3]
    assert why(made)[1] == "max_words: over 3 words: 4"
    assert made.manifest.dropped == {"max_words": {"over 3 words": 2}}


def test_truncation_keeps_the_answer_and_records_the_cut(store: Store) -> None:
    rows = [
        thought("It is 2. Wait, is it 3? But wait, no."),
        thought("Wait, from the beginning.", index=1),
        thought("No doubt here; waiting, waiter.", index=2),
        sample("It is 2. Wait, or 3? <answer>2</answer>", 3),
        sample("It is 2. Wait, or 3?", 4),
    ]
    made = filtered(store, rows, "verify", "truncate_reflections")
    by_sample = {row["sample"]: row for row in made.table().to_pylist()}
    assert by_sample[0]["response"] == "<think>It is 2.</think>\n<answer>2</answer>"
    assert by_sample[0]["reasoning"] == "It is 2."
    assert by_sample[0]["cut"] == "Wait, is it 3? But wait, no."
    assert by_sample[2]["cut"] is None
    assert by_sample[3]["response"] == "It is 2. <answer>2</answer>"
    assert why(made)[1] == "truncate_reflections: nothing before the first second thought"
    assert made.manifest.rewritten == {"truncate_reflections": 2}


def test_truncation_takes_the_first_of_all_keywords_within_each_text(store: Store) -> None:
    rows = [
        thought("ééé But wait, Wait, x"),
        thought("But", index=1),
        thought(" wait", index=2),
        thought("Hmm. Hold on. 2.", index=3),
    ]
    made = filtered(store, rows, {"truncate_reflections": ["Wait,", "But wait", "Hold on"]})
    cuts = {row["sample"]: row["cut"] for row in made.table().to_pylist()}
    assert cuts == {0: "But wait, Wait, x", 1: None, 2: None, 3: "Hold on. 2."}


def test_truncation_is_the_same_done_twice(store: Store) -> None:
    rows = [thought(f"Step {i}. Wait, step {i}? But wait.", index=i) for i in range(5)]
    once = filtered(store, rows, "truncate_reflections")
    twice, _ = make_filtered(store, once, chain=["truncate_reflections"], name="twice")
    assert twice.table().equals(once.table())
    assert not twice.manifest.rewritten


def test_repetition(store: Store) -> None:
    varied = " ".join(f"word{i} and" for i in range(200))
    looped = "First the bars are read. " + "So the answer is the same as it was before. " * 20
    made = filtered(
        store,
        [thought(varied), thought(looped, index=1), thought(varied + " " + varied, index=2)],
        "repetition",
    )
    assert kept(made) == [0]
    assert why(made)[1].startswith("repetition: looped: the same 8 words")
    assert why(made)[2].startswith("repetition: repetitive: 4")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("shortest", [1]),
        ("longest-but-one", [0]),
        ("first", [0]),
        ("distinct", [0, 1, 2]),
        ({"policy": "shortest", "cap": 2}, [1, 2]),
        ({"policy": "longest_but_one", "cap": 9}, [0, 1, 2]),
    ],
)
def test_select(store: Store, policy: Any, expected: list[int]) -> None:
    rows = [
        thought("the longest of them all", index=0),
        thought("short", index=1),
        thought("some more words", index=2),
        thought("The longest  of them all", index=3),
        thought("x", "3", index=4),
    ]
    made = filtered(
        store,
        rows,
        "grade",
        {"select": policy} if isinstance(policy, str) else {"filter": "select", **policy},
    )
    assert kept(made) == expected
    assert why(made)[4] == "select: not correct"


def test_longest_but_one_takes_a_single_path(store: Store) -> None:
    made = filtered(store, [thought("only")], "verify", {"select": "longest-but-one"})
    assert kept(made) == [0]


def test_select_without_verdicts_says_what_to_do(store: Store) -> None:
    with pytest.raises(UserError, match="put verify before it"):
        filtered(store, [thought("a")], {"select": "shortest"})


def test_pass_rates_count_what_was_taken_out_too(store: Store) -> None:
    easy, hard = item("easy?"), item("hard?")
    rows = [thought("a", "2" if i else "3", i, of=easy) for i in range(4)]
    rows += [thought("a", "3", i, of=hard, finish_reason="length") for i in range(2)]
    made = filtered(store, rows, "finish_reason", "verify", {"select": "shortest"})
    rates = {row["id"]: row for row in pass_rates(made).to_pylist()}
    assert rates[easy["id"]] == {"id": easy["id"], "n": 4, "correct": 3, "pass_rate": 0.75}
    assert rates[hard["id"]]["pass_rate"] == 0
    with pytest.raises(UserError, match="has no verdicts"):
        pass_rates(dataset(store, "raw", "sample", rows[:1]))


def test_difficulty_keeps_the_band_with_its_ends(store: Store) -> None:
    rows = []
    for right in range(6):
        of = item(f"{right} of five?")
        rows += [thought("a", "2" if i < right else "3", i, of=of) for i in range(5)]
    made = filtered(store, rows, "grade", {"difficulty": "0.2:0.8"}, "correct")
    questions = {row["question"] for row in made.table().to_pylist()}
    assert questions == {f"{right} of five?" for right in range(1, 5)}
    assert made.table().num_rows == 10


def test_mixture_draws_by_id_and_not_by_order(store: Store) -> None:
    rows = [thought("a", of=item(f"{i}?", source="ab"[i % 2])) for i in range(100)]
    made = filtered(store, rows, {"mixture": {"a": 10}})
    mirrored = dataset(store, "mirrored", "sample", rows[::-1])
    other, _ = make_filtered(store, mirrored, chain=[{"mixture": {"a": 10}}], name="other")
    assert sorted(made.table()["id"].to_pylist()) == sorted(other.table()["id"].to_pylist())
    assert made.manifest.facts["by_source"]["a"] == {"in": 50, "mixture": 40, "kept": 10}
    assert made.manifest.facts["by_source"]["b"]["kept"] == 50
    none, _ = make_filtered(
        store, mirrored, chain=[{"mixture": {"rows": {"a": 10}, "others": 0}}], name="none"
    )
    assert none.manifest.rows == 10


def test_several_datasets_in_their_order_and_a_second_run_is_a_no_op(store: Store) -> None:
    first = dataset(store, "one", "sample", [thought("a", of=item("one?"))])
    second = dataset(store, "two", "sample", [thought("b", of=item("two?"))])
    made, existed = make_filtered(store, [second, first], chain=["verify"], round=2)
    assert not existed
    assert made.table()["question"].to_pylist() == ["two?", "one?"]
    assert [parent.ref for parent in made.manifest.parents] == ["two@v1", "one@v1"]
    again, existed = make_filtered(store, [second, first], chain=[{"filter": "verify"}])
    assert existed
    assert again.ref == made.ref


def test_an_empty_dataset_makes_an_empty_version(store: Store) -> None:
    made = filtered(store, [], "verify", "truncate_reflections", {"select": "shortest"}, "dedup")
    assert made.manifest.rows == 0


def test_unicode_empty_and_megabyte_responses_survive(store: Store) -> None:
    texts = ["", "数学 は 楽しい \U0001f600", "a\u0000b", "w " * 600_000, "x" * 1_000_000]
    rows = [thought(text, index=i) for i, text in enumerate(texts)]
    rows.append(sample("", 9))
    chain = ["truncate_reflections", {"max_words": 1_000_000}, "grade"]
    made = filtered(store, rows, *chain)
    assert made.table()["reasoning"].to_pylist()[:5] == texts
    looped = filtered(store, rows, "repetition", {"max_words": 900_000}, "grade")
    assert 3 not in kept(looped)


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        (["nope"], "no filter is called 'nope'; there are grade,"),
        ([{"max_words": "many"}], "max_words: words cannot be 'many'"),
        ([{"max_words": {"wrds": 3}}], "max_words has no setting 'wrds'; it has words"),
        ([{"max_words": 0}], "keeps no response"),
        ([{"select": "best"}], "'best' is not a policy"),
        (["verify", "difficulty"], "write grade, difficulty, correct"),
        ([{"verify": "judge"}], "'judge' is not a grader"),
        ([{"difficulty": "0.8:0.2"}], "is not a band"),
        ([{"a": 1, "b": 2}], "is not one filter"),
        ("verify", "filters must be a list"),
        ([3], "3 is not a filter"),
        (["mixture"], "mixture names no source"),
    ],
)
def test_a_wrong_chain_is_one_sentence(chain: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        parse_chain(chain)
    assert "\n" not in str(raised.value)


def test_settings_are_spelt_out_and_parse_to_the_same() -> None:
    chain = parse_chain(["verify", {"max-words": 300}, {"select": "longest-but-one"}, "dedup"])
    spelt = json.loads(json.dumps([settings(filter) for filter in chain]))
    assert spelt[1] == {"filter": "max_words", "words": 300}
    assert spelt[2] == {"filter": "select", "policy": "longest_but_one", "cap": 1}
    assert parse_chain(spelt) == chain


def test_a_filter_of_samples_refuses_items(store: Store) -> None:
    items = dataset(store, "items", "item", [item()])
    with pytest.raises(UsageError, match="verify reads the column 'response', which items do not"):
        make_filtered(store, items, chain=["verify"])


def test_the_command_prints_the_ledger_and_is_a_no_op_the_second_time(store: Store) -> None:
    rows = [thought("a. Wait, b"), thought("b", "3", 1), thought("long " * 9, index=2)]
    dataset(store, "samples", "sample", rows)
    command = [sys.executable, "-m", "vlt.cli.main", "filter", "samples", "--verify"]
    command += ["--truncate-reflections", "--select", "shortest", "--dedup", "-w", str(store.root)]
    first = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "wrong" in first.stdout
    assert "sft@v1: 1 sample, 2 dropped" in first.stdout
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["kept"] == 1
    bad = subprocess.run([*command, "--cap", "0"], capture_output=True, text=True)
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1
