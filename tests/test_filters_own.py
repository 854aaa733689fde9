"""A user's own filters: what a function may return, what happens if it raises, and its identity."""

# ruff: noqa: ARG002, ARG005

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import vlt.plugins
from tests.rows import dataset, item, sample
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.filters.protocol import Judgement
from vlt.filters.registry import parse_chain
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset, Store

TEXTS = ["I am sorry, 2", "2", "sorry 2 sorry", "<answer>2</answer>"]


def made(workspace: Path, *chain: Any, texts: list[str] | None = None, **options: Any) -> Dataset:
    """What the chain leaves of one sample for each text."""
    store = Store(workspace)
    rows = [sample(text, n, item()) for n, text in enumerate(texts or TEXTS)]
    data = dataset(store, "samples", "sample", rows)
    return make_filtered(store, data, chain=chain, **options)[0]


def kept(version: Dataset) -> list[int]:
    return version.table()["sample"].to_pylist()


def why(version: Dataset) -> dict[int, tuple[str, str]]:
    rows = version.dropped.table().to_pylist()
    return {row["sample"]: (row["filter"], row["reason"]) for row in rows}


def polite(row: dict[str, Any]) -> bool | str | tuple[str, str]:
    times = row["response"].count("sorry")
    if times > 1:
        return "apologises", f"{times} times"
    return not times


def test_a_function_of_a_row_keeps_or_drops_with_a_reason(workspace: Path) -> None:
    version = made(workspace, polite)
    assert kept(version) == [1, 3]
    assert why(version) == {
        0: ("polite", "rejected"),
        2: ("polite", "apologises: 2 times"),
    }
    assert version.manifest.dropped == {"polite": {"rejected": 1, "apologises": 1}}
    assert version.manifest.rows_in == 4


def of_arrow(batch: pa.RecordBatch) -> Any:
    return pc.invert(pc.match_substring(batch["response"], "sorry"))


def of_numpy(batch: pa.RecordBatch) -> Any:
    return np.array(["sorry" not in text for text in batch["response"].to_pylist()])


def of_list(rows: pa.RecordBatch) -> list[Any]:
    return ["sorry" not in text or "apologises" for text in rows["response"].to_pylist()]


@vlt.plugins.filter(batch=True, columns=["response"])
def marked(some: pa.RecordBatch) -> Any:
    assert some.schema.names == ["response"]
    return of_arrow(some)


@pytest.mark.parametrize("function", [of_arrow, of_numpy, of_list, marked])
def test_a_function_of_a_batch_says_it_of_each_row(
    workspace: Path, function: Callable[..., Any]
) -> None:
    version = made(workspace, function)
    assert kept(version) == [1, 3]
    reason = "apologises" if function is of_list else "rejected"
    assert version.manifest.dropped == {function.__name__: {reason: 2}}


def without_apology(row: dict[str, Any]) -> dict[str, str] | bool:
    if "sorry" not in row["response"]:
        return True
    return {"response": row["response"].replace("sorry", "glad"), "meta": '{"was": "sorry"}'}


def test_a_dict_replaces_columns(workspace: Path) -> None:
    version = made(workspace, without_apology)
    texts = version.table()["response"].to_pylist()
    assert texts == ["I am glad, 2", "2", "glad 2 glad", "<answer>2</answer>"]
    assert version.manifest.rewritten == {"without_apology": 2}


def fragile(row: dict[str, Any]) -> bool:
    return row["response"].index("sorry") < 3


def fragile_batch(batch: pa.RecordBatch) -> list[bool]:
    return [fragile({"response": text}) for text in batch["response"].to_pylist()]


def ends(row: dict[str, Any]) -> bool:
    raise SystemExit(row["response"])


@pytest.mark.parametrize("function", [fragile, fragile_batch])
def test_a_function_that_raises_costs_the_row(
    workspace: Path, function: Callable[..., Any]
) -> None:
    version = made(workspace, function, "verify")
    name = function.__name__
    assert version.manifest.failed == {f"{name} raised ValueError": 2}
    assert version.manifest.dropped[name] == {"rejected": 1}
    filter, reason = why(version)[1]
    assert filter == "failed"
    assert reason.startswith(
        f"{name} raised ValueError: substring not found (test_filters_own.py, "
    )
    assert version.manifest.rows + 4 - version.manifest.rows == version.manifest.rows_in
    every = made(workspace, ends, texts=["a", "b"], name="ends")
    assert every.manifest.failed == {"ends raised SystemExit": 2}


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (lambda row: None, "returned None (of type NoneType) for the row"),
        (lambda row: 1, "returned 1 (of type int) for the row"),
        (lambda row: "", "returned '' (of type str) for the row"),
        (lambda row: ("a", 2), "return True to keep a row"),
        (lambda row: {"question": "x"}, "replaces the column 'question'; it may replace meta"),
        (lambda row: {"nowhere": "x"}, "replaces the column 'nowhere'"),
        (lambda row: {"completion_tokens": "many"}, "does not fit it"),
        (lambda batch: True, "returned True (of type bool) for a batch of 4 rows"),
        (lambda batch: [True], "return a list or an array with one value for each row"),
        (lambda batch: [None] * 4, "returned None (of type NoneType) for the row"),
    ],
)
def test_nonsense_is_one_sentence(workspace: Path, says: Callable[..., Any], told: str) -> None:
    with pytest.raises(UserError) as raised:
        made(workspace, says)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [version.ref for version in Store(workspace).all()] == ["samples@v1"]


def longest(row: dict[str, Any], words: int = 3, *, unit: str = "words") -> bool | str:
    return len(row["response"].split()) <= words or f"over {words} {unit}"


FILE = """
def longest(row, words: int = 3, *, unit="words"):
    return len(row["response"].split()) <= words or f"over {words} {unit}"
"""


def test_parameters_are_settings_and_part_of_the_identity(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    name = f"{tmp_path}/mine.py:longest"
    spelt: list[Any] = [
        {name: {"words": 2}},
        {name: 2},
        {"filter": name, "words": "2"},
        {"filter": name, "words": 2, "unit": "words"},
    ]
    refs = {made(workspace, entry).ref for entry in spelt}
    assert refs == {"sft@v1"}
    _, entry = Store(workspace).open("sft").manifest.parameters["chain"]  # behind not_cut
    assert entry == {
        "filter": "longest",
        "words": 2,
        "unit": "words",
        "plugin": "longest",
        "sha256": entry["sha256"],
    }
    assert made(workspace, name).ref == "sft@v2"
    (tmp_path / "mine.py").write_text(FILE.replace("<=", "<"))
    edited = made(workspace, name)
    assert edited.ref == "sft@v3"
    assert why(edited)[2] == ("longest", "over 3 words")
    with pytest.raises(UsageError, match=r"has no setting 'word'; it has words, unit"):
        parse_chain([{name: {"word": 1}}])
    with pytest.raises(UsageError, match="words cannot be 'many'"):
        parse_chain([{name: "many"}])


@dataclass(frozen=True)
class Ends:
    """A filter of the protocol, in a user's package."""

    name: ClassVar[str] = "ends_with"
    columns: ClassVar[tuple[str, ...]] = ("response",)

    letters: str = "y"

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        keep = pc.ends_with(rows["response"], self.letters).to_numpy(zero_copy_only=False)
        return Judgement(keep, Reason("another end"))


def test_a_class_of_the_protocol_is_a_filter_too(workspace: Path) -> None:
    version = made(workspace, {"tests.test_filters_own:Ends": "2"})
    assert kept(version) == [0, 1]
    _, entry = version.manifest.parameters["chain"]
    assert (entry["filter"], entry["letters"]) == ("ends_with", "2")
    assert entry["plugin"] == "tests.test_filters_own:Ends"
    assert kept(made(workspace, Ends("sorry"), name="itself")) == [2]


@dataclass(frozen=True)
class Fragile(Ends):
    """It raises on some rows, and rewrites others."""

    name: ClassVar[str] = "fragile"

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        texts = rows["response"].to_pylist()
        if any(text.startswith("I") for text in texts):
            raise KeyError("I")
        keep = np.array(["<" not in text for text in texts])
        new = pa.array([text.upper() for text in texts])
        return Judgement(keep, Reason("tagged"), {"response": new}, len(texts))


@dataclass(frozen=True)
class Whole:
    """It raises when all rows are judged at once."""

    name: ClassVar[str] = "whole"
    columns: ClassVar[tuple[str, ...]] = ("id",)

    def view(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        return rows.select(["id"])

    def decide(self, view: pa.Table, scratch: Any) -> Judgement:
        raise ValueError(f"{len(view)} rows")


def test_a_class_that_raises_costs_rows_or_is_told(workspace: Path) -> None:
    version = made(workspace, "tests.test_filters_own:Fragile")
    assert version.table()["response"].to_pylist() == ["2", "SORRY 2 SORRY"]
    assert version.manifest.failed == {"fragile raised KeyError": 1}
    assert version.manifest.dropped == {"fragile": {"tagged": 1}}
    assert version.manifest.rewritten == {"fragile": 3}
    reason = why(version)[0][1]
    assert reason.startswith("fragile raised KeyError: 'I' (test_filters_own.py, line ")
    with pytest.raises(UserError, match=r"the filter whole raised ValueError: 4 rows \(test_filt"):
        made(workspace, Whole(), name="other")


def verify(row: dict[str, Any]) -> bool:
    return bool(row)


def test_a_name_of_ours_is_refused(workspace: Path) -> None:
    with pytest.raises(UsageError, match=r"mark it with @vlt.filter\(name=...\)"):
        made(workspace, verify)
    assert kept(made(workspace, vlt.plugins.filter(name="mine")(verify))) == [0, 1, 2, 3]


def test_many_reasons_do_not_fill_the_manifest(workspace: Path) -> None:
    texts = [f"text {n}" for n in range(150)]
    version = made(workspace, lambda row: row["response"], texts=texts)
    (counts,) = version.manifest.dropped.values()
    assert len(counts) == 101
    assert counts["other reasons"] == 50
    assert why(version)[149][1] == "text 149"


def test_the_same_rows_whatever_the_batches(workspace: Path, monkeypatch: Any) -> None:
    whole = made(workspace, polite, without_apology, of_list)
    monkeypatch.setattr("vlt.filters.apply.BATCH", 1)
    parts = made(workspace, polite, without_apology, of_list, name="parts")
    assert parts.table().equals(whole.table())
