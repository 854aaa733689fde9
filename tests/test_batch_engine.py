"""`vlt gen --batch` against a Batch API on loopback: nothing lost, nothing sent off twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import run_vlt, vlt, vlt_error
from tests.rows import dataset, item
from tests.stub import Stub
from tests.stub_server import SETTINGS, text_of
from tests.test_gen_crash import start
from vlt.engine import batch as batches
from vlt.engine.batch import BatchEngine
from vlt.request import Completion, Failure, Request, Sampling, request_key, seed_of
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store

PNG = b"\x89PNG\r\n\x1a\n"
SAMPLING = Sampling(seed=5, max_tokens=64)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as stub:
        stub.configure(**SETTINGS)
        yield stub


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def ask(name: str, *samples: int, image: str = "a") -> Request:
    blocks = [{"type": "image", "image": image}, {"type": "text", "text": f"[[{name}]]"}]
    messages = [{"role": "user", "content": blocks}]
    return Request(request_key({}, messages, SAMPLING), messages, samples or (0,), SAMPLING)


def answers(stub: Stub, journal: Journal, requests: list[Request]) -> list[Completion | Failure]:
    engine = BatchEngine("stub", stub.url, load_image={"a": PNG}.__getitem__, ledger=journal)
    try:
        return list(engine.complete(requests))
    finally:
        engine.close()


def test_every_sample_is_answered(stub: Stub, journal: Journal) -> None:
    got = answers(stub, journal, [ask(str(i), 0, 1, 3) for i in range(50)])
    by_sample = {(c.key, c.sample): c.response for c in got if isinstance(c, Completion)}
    assert len(by_sample) == len(got) == 150
    for i in range(50):
        for s in (0, 1, 3):
            seed = seed_of(ask(str(i)).key, 5, s) or 0
            text = "<think>{}</think> {}".format(*text_of(str(i), seed, 60))
            assert by_sample[ask(str(i)).key, s] == text
    assert stub.stats()["requests"] == 100  # samples 0 and 1 together, 3 alone
    assert journal.batches(f"{stub.url} stub") == []


def test_many_batches(stub: Stub, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "REQUESTS_A_BATCH", 20)
    got = answers(stub, journal, [ask(str(i)) for i in range(50)])
    assert len({c.key for c in got if isinstance(c, Completion)}) == 50


def test_rows_fail_alone(stub: Stub, journal: Journal) -> None:
    stub.configure(always={"3": 400, "4": 500})
    requests = [ask(str(i)) for i in range(10)] + [ask("x", image="gone")]
    got = answers(stub, journal, requests)
    reasons = {f.key: f.reason for f in got if isinstance(f, Failure)}
    assert reasons == {
        ask("3").key: "HTTP 400: this one never works",
        ask("4").key: "HTTP 500: this one never works",
        ask("x", image="gone").key: "an image cannot be read: 'gone'",
    }
    assert len(got) == 11


def test_a_batch_that_expires_keeps_what_it_has(stub: Stub, journal: Journal) -> None:
    stub.configure(batch_status="expired")
    got = answers(stub, journal, [ask(str(i)) for i in range(10)])
    assert sum(isinstance(c, Completion) for c in got) == 5
    assert {f.reason for f in got if isinstance(f, Failure)} == {
        "the batch expired without an answer"
    }


def test_a_batch_that_is_refused(stub: Stub, journal: Journal) -> None:
    stub.configure(batch_status="failed")
    got = answers(stub, journal, [ask("1")])
    assert [f.reason for f in got if isinstance(f, Failure)] == [
        "the batch failed: the file is not valid"
    ]


def test_one_created_in_the_moment_of_a_kill_is_found(stub: Stub, journal: Journal) -> None:
    answers(stub, journal, [ask("1")])
    token = stub._call("/v1/batches")["data"][0]["metadata"]["vlt"]
    server = f"{stub.url} stub"
    journal.open_batch(token, server, [(ask("1").key, 0)])  # killed before name_batch
    journal.open_batch("never created", server, [(ask("2").key, 0)])
    got = answers(stub, journal, [ask("1"), ask("2")])
    assert len(got) == 2
    assert all(isinstance(c, Completion) for c in got)
    assert stub.attempts() == {"1": 1, "2": 1}
    assert journal.batches(server) == []


def command(workspace: Path, stub: Stub) -> list[str]:
    base = ["gen", "rollouts", "-w", str(workspace), "--model", "stub", "--base-url", stub.url]
    return [*base, "-k", "2", "--batch"]


def test_a_killed_run_finds_its_batches(workspace: Path, stub: Stub) -> None:
    store = Store(workspace)
    dataset(store, "items", "item", [item(f"[[{i}]]") for i in range(30)])
    stub.configure(batch_polls=10**9)
    child = start(command(workspace, stub))
    end = time.monotonic() + 60
    while not stub._call("/v1/batches")["data"] and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    child.kill()
    child.communicate()
    stub.configure(batch_polls=2)
    vlt(*command(workspace, stub))
    assert len(stub._call("/v1/batches")["data"]) == 1
    assert stub.stats()["requests"] == 30
    made = store.open("samples")
    assert made.manifest.rows == 60
    assert not made.manifest.failed


def test_wrong_usage(workspace: Path, stub: Stub) -> None:
    dataset(Store(workspace), "items", "item", [item()])
    words = vlt_error(*command(workspace, stub), "--rpm", 3, code=2)
    assert "--budget, --rpm or --tpm" in words
    done = run_vlt(*command(workspace, stub)[:-1], "--batch", "--base-url", "http://127.0.0.1:1/v1")
    assert done.returncode == 2
    assert "goes to one server" in done.stderr
