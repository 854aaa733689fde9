"""Odd files, keys and values: each is read, or refused with one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli import vlt, vlt_error, vlt_json
from tests.rows import dataset, sample
from vlt.engine.api_key import key_to_send
from vlt.errors import UsageError
from vlt.workspace.store import Store


@pytest.mark.parametrize(
    "content", ["\ufeff- max_words: 5\n".encode("utf-16"), b"- gr\xf6\xdf: 5\n", b"\xff"]
)
def test_a_chain_or_a_recipe_that_is_not_utf8(
    content: bytes, workspace: Path, tmp_path: Path
) -> None:
    dataset(Store(workspace), "samples", "sample", [sample("a")])
    file = tmp_path / "chain.yaml"
    file.write_bytes(content)
    for words in (["filter", "samples", "--chain", file], ["run", file]):
        said = vlt_error(*words, "-w", workspace, code=2)
        assert str(file) in said
        assert "not UTF-8" in said


def test_a_byte_order_mark_is_no_fault(workspace: Path, tmp_path: Path) -> None:
    dataset(Store(workspace), "samples", "sample", [sample("a")])
    file = tmp_path / "chain.yaml"
    file.write_bytes("\ufeff- max_words: 5\n".encode())
    vlt("filter", "samples", "--chain", file, "-w", workspace)


def test_rows_to_grade_that_are_not_utf8(tmp_path: Path) -> None:
    file = tmp_path / "g.jsonl"
    file.write_bytes(b'\xff{"response": "a", "answer": "b"}\n')
    said = vlt_error("grade", file, code=2)
    assert "g.jsonl" in said
    assert "not UTF-8" in said


def test_a_null_response_is_wrong_and_a_null_answer_unjudged(tmp_path: Path) -> None:
    file = tmp_path / "g.jsonl"
    rows = [{"response": "<answer>1</answer>", "answer": "1"}, {"response": None, "answer": "b"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = vlt_json("grade", file)
    assert "correct" in json.dumps(counts)
    assert "1      1" in vlt("grade", file)
    file.write_text('{"response": "a", "answer": null}\n')
    assert vlt_json("grade", file)["graders"]["vlt"] == {"correct": 0, "wrong": 0, "unjudged": 1}
    file.write_text('{"answer": "a"}\n')
    assert "has no 'response'" in vlt_error("grade", file, code=2)


def test_a_key_is_sent_without_the_line_end_that_a_file_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abc\r\n")
    assert key_to_send() == "sk-abc"
    assert key_to_send(" other ") == "other"
    monkeypatch.setenv("OPENAI_API_KEY", "\n")
    assert key_to_send() is None


@pytest.mark.parametrize("key", ["sk-a\nsk-b", "sk-\x00", "“sk-abc”"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as error:
        key_to_send(key)
    assert "sk-" not in str(error.value)


def test_a_name_with_bytes_that_are_no_text(workspace: Path) -> None:
    assert "does not name a dataset" in vlt_error("show", "sft\udcff", "-w", workspace, code=2)
    assert "does not name a dataset" in vlt_error("show", "sft\n", "-w", workspace, code=2)
