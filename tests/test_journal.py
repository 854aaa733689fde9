"""The journal: what is put is there, for every process, after any death."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vlt.errors import UserError
from vlt.request import Completion
from vlt.workspace.journal import Journal


def completion(key: int, sample: int = 0, response: str = "two") -> Completion:
    return Completion(key.to_bytes(16, "big"), sample, response, "stop", 10, 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "journal.sqlite"


def test_what_is_put_is_there(path: Path) -> None:
    journal = Journal(path)
    for sample in range(4):
        journal.put(completion(1, sample, f"sample {sample}"))
    journal.put(completion(2))
    key = completion(1).key
    assert journal.get(key, [1, 3, 9]) == {s: completion(1, s, f"sample {s}") for s in (1, 3)}
    assert journal.samples([key, completion(2).key, b"x" * 16]) == {
        key: {0, 1, 2, 3},
        completion(2).key: {0},
    }
    assert journal.count() == 5
    journal.close()


def test_the_first_of_two_answers_stays(path: Path) -> None:
    journal = Journal(path)
    journal.put(completion(1, response="first"))
    journal.put(completion(1, response="second"))
    assert journal.get(completion(1).key, [0])[0].response == "first"
    journal.close()


def test_an_answer_can_be_replaced(path: Path) -> None:
    journal = Journal(path)
    journal.put(completion(1, response="first"))
    journal.put(completion(1, response="second"), again=True)
    assert journal.get(completion(1).key, [0])[0].response == "second"
    assert journal.count() == 1
    journal.close()


def test_a_journal_from_before_prompts_were_counted(path: Path) -> None:
    """It is read as it is, and an older vlt can go on with it."""
    path.parent.mkdir()
    old = sqlite3.connect(path)
    columns = "key, sample, response, finish_reason, prompt_tokens, completion_tokens"
    old.execute(
        "CREATE TABLE completions (key BLOB NOT NULL, sample INTEGER NOT NULL, response TEXT NOT NULL,"
        " finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT"
        " NULL, arrived TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (key, sample))"
    )
    insert = f"INSERT INTO completions ({columns}) VALUES (?, ?, ?, ?, ?, ?)"
    old.execute(insert, (completion(1).key, 0, "two", "stop", 10, 20))
    old.execute("PRAGMA user_version = 1")
    old.commit()
    journal, other = Journal(path), Journal(path)
    assert journal.get(completion(1).key, [0])[0] == completion(1)
    counted = replace(completion(2), prompts=1)
    other.put(counted)
    assert journal.get(counted.key, [0])[0] == counted
    old.execute(insert, (completion(3).key, 0, "two", "stop", 10, 20))
    old.commit()
    assert journal.get(completion(3).key, [0])[0].prompts is None
    for opened in (journal, other, old):
        opened.close()


def test_thoughts_are_counted(path: Path) -> None:
    journal = Journal(path)
    texts = ["a</think> b", "<think>a</think> b", "b", "a</think> b <think>c</think>"]
    for i, text in enumerate(texts):
        journal.put(completion(i, response=text))
    journal.put(replace(completion(9, response="a</think> b"), finish_reason="length"))
    assert journal.thoughts([completion(i).key for i in range(10)]) == (4, 2)
    journal.close()


def test_many_keys_are_found(path: Path) -> None:
    journal = Journal(path)
    for i in range(1500):
        journal.put(completion(i))
    keys = [completion(i).key for i in range(3000)]
    assert len(journal.samples(keys)) == 1500
    assert {c.key for c in journal.read(keys)} == set(keys[:1500])
    journal.close()


WRITER = """
import sys, os
from vlt.workspace.journal import Journal
from vlt.request import Completion
journal = Journal(sys.argv[1])
first = int(sys.argv[2])
for i in range(first, first + 300):
    journal.put(Completion(i.to_bytes(16, "big"), 0, "x" * 1000, "stop", 1, 1))
    print(i, flush=True)
if len(sys.argv) > 3:
    os.kill(os.getpid(), 9)
journal.close()
"""


def _write(path: Path, first: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(first), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=os.getcwd())


def test_processes_share_it(path: Path) -> None:
    writers = [_write(path, first) for first in (0, 300, 600, 900)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    journal = Journal(path)
    assert journal.count() == 1200
    journal.close()


def test_a_killed_process_loses_nothing(path: Path) -> None:
    writer = _write(path, 0, "die")
    printed, _ = writer.communicate(timeout=60)
    assert writer.returncode == -9
    assert len(printed.split()) == 300
    journal = Journal(path)
    assert journal.count() == 300
    journal.close()


def test_a_newer_journal_is_refused(path: Path) -> None:
    Journal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UserError, match="newer vlt"):
        Journal(path)


def test_another_file_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a database at all, but long enough to be read as one" * 50)
    with pytest.raises(UserError, match="it is not a journal; move it away"):
        Journal(path)
