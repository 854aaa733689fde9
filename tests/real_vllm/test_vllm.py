"""Generation with a real vLLM: started by vlt, and running already. `make test-vllm`."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli import run_vlt, vlt
from tests.real_vllm.environment import command
from tests.real_vllm.server import ARGUMENTS, ENVIRONMENT, MINIATURE, Server
from tests.rows import dataset, item
from tests.test_gen_crash import start
from vlt.images.store import ImageInfo, ImageStore, Inspected
from vlt.workspace.journal import Journal
from vlt.workspace.store import Store

BROKEN = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(MINIATURE / "reasoner", tmp_path_factory.mktemp("server") / "vllm.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The miniature's VLM as training saves it: weights, what reads its prompts, and no more."""
    from vlt.engine.loading import keep_video_settings, load_model

    model, processor = load_model(str(MINIATURE / "vlm"), None, "float32")
    folder = tmp_path / "trained"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    keep_video_settings(str(MINIATURE / "vlm"), None, folder)
    return folder


def own(model: Path) -> list[object]:
    """Options with which vlt starts a vLLM of its own."""
    started = ["--engine", "vllm", "--vllm-command", command(), "--vllm-args", ARGUMENTS]
    return ["--model", model, *started]


def prompt(folder: Path, text: str) -> Path:
    file = folder / "prompt.txt"
    file.write_text(text)
    return file


def until(true: Callable[[], bool], child: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def arrived(store: Store) -> int:
    journal = Journal(store.journal_file)
    try:
        return journal.count()
    finally:
        journal.close()


def count_logged(store: Store, words: str) -> int:
    return sum(log.read_text().count(words) for log in (store.root / "logs").glob("vllm-*.log"))


def descendants(child: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(child.pid).children(recursive=True)


def test_captions_though_the_engine_dies(workspace: Path, trained: Path) -> None:
    rows = 600
    vlt("import", "miniature", "-w", workspace, "--limit", rows, "--as", "good")
    store = Store(workspace)
    sha = hashlib.sha256(BROKEN).hexdigest()
    with ImageStore(store.images_folder) as images:
        info = ImageInfo(84, 56, "PNG", len(BROKEN), 0)
        images.add_new(Inspected(sha, BROKEN, info, converted=False))
    good = store.open("good").table().to_pylist()
    dataset(store, "items", "item", [*good[:40], item("Broken?", images=[sha]), *good[40:]])
    text = prompt(workspace, "Describe the picture.")
    asking = ["gen", "captions", "items", "-w", workspace, "--prompt", text, "--max-tokens", 40]
    child = start([*map(str, [*asking, *own(trained), "--concurrency", 4])])
    until(lambda: arrived(store) >= 60, child)
    cores = [p for p in descendants(child) if "EngineCore" in " ".join(p.cmdline())]
    assert cores
    cores[0].kill()
    _, words = child.communicate(timeout=300)
    assert child.returncode == 3, words
    made = store.open("captions")
    assert made.manifest.failed == {"HTTP 400": 1}
    assert "Failed to load image" in made.dropped.table().to_pylist()[0]["reason"]
    found = made.table().to_pylist()
    assert [row["id"] for row in found] == [row["id"] for row in good]
    assert {row["caption"].split(":")[0] for row in found} == {"Shapes", "Bars", "Table"}
    assert count_logged(store, "$ ") >= 2  # it was started again
    assert arrived(store) == len({tuple(row["images"]) for row in good})


def test_ended_by_sigterm(workspace: Path, reasoner: Server) -> None:
    rows, k = 400, 4
    store = Store(workspace)
    dataset(store, "items", "item", [item(f"How many red objects, {i}?") for i in range(rows)])
    sampling = ["-k", k, "--max-tokens", 64, "--seed", 5]
    asking = ["gen", "rollouts", "-w", workspace, *sampling]
    child = start([*map(str, [*asking, *own(reasoner.model), "--concurrency", 4])])
    until(lambda: arrived(store) >= 40, child)
    left = descendants(child)
    assert left
    child.send_signal(signal.SIGTERM)
    _, words = child.communicate(timeout=120)
    assert child.returncode == 130
    assert words.strip().splitlines()[-1].startswith("vlt: interrupted; the same command resumes")
    _, alive = psutil.wait_procs(left, timeout=30)
    assert not alive
    paid = arrived(store)
    assert 40 <= paid < k * rows
    assert paid % k == 0  # the samples of a request come together
    before = reasoner.answered()
    again = [*asking, "--model", reasoner.model, "--base-url", reasoner.url]
    done = run_vlt(*again)
    assert done.returncode == 0, done.stderr
    assert reasoner.answered() - before == rows - paid // k
    assert store.open("samples").manifest.rows == k * rows
    assert run_vlt(*again, "--as", "again").returncode == 0
    assert reasoner.answered() - before == rows - paid // k


def test_a_server_that_is_stopped_and_started_again(workspace: Path, reasoner: Server) -> None:
    rows, k = 300, 4
    store = Store(workspace)
    made = [item(f"What is {i}?") for i in range(rows)]
    made[7]["question"] = "red " * 3000
    captions = [{**row, "caption": "Shapes: red circle.", "caption_model": "m"} for row in made]
    dataset(store, "captions", "caption", captions)
    text = prompt(workspace, "{caption} {question} Think first.")
    asking = ["gen", "reasoning", "-w", workspace, "-k", k, "--max-tokens", 64, "--prompt", text]
    asking += ["--model", reasoner.model, "--base-url", reasoner.url, "--concurrency", 8]
    child = start([*map(str, asking)])
    until(lambda: arrived(store) >= 80, child)
    reasoner.terminate()
    stopped = arrived(store)
    assert child.poll() is None
    reasoner.start()
    _, words = child.communicate(timeout=300)
    assert child.returncode == 3, words
    samples = store.open("samples")
    assert samples.manifest.failed == {"HTTP 400": k}
    assert "maximum context length" in samples.dropped.table().to_pylist()[0]["reason"]
    assert samples.manifest.rows == arrived(store) == k * (rows - 1)
    assert stopped < k * (rows - 1)
    found = samples.table().to_pylist()
    assert {row["finish_reason"] for row in found} <= {"stop", "length"}
    assert all(row["completion_tokens"] > 0 for row in found)
    of_row = {row["response"] for row in found[:k]}
    assert len(of_row) > 1  # drawn, not repeated
