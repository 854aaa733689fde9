"""GRPO on a cluster with a vLLM server that vlt starts there; a server stands in for vLLM and NCCL."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.cli import start_vlt
from tests.on_ray.cluster import LOOPBACK, Nodes
from tests.on_ray.replicas import places, wait_for, workers_of
from tests.processes import alive
from tests.test_grpo_vllm import STAND_IN
from tests.tiny import items, tiny_vlm
from vlt.errors import UserError
from vlt.train.on_ray.room import room, room_for
from vlt.train.on_ray.server import check_room
from vlt.train.vllm import required, serve_arguments
from vlt.workspace.store import Store

pytestmark = pytest.mark.timeout(900)
SECONDS = 300
TOKENS, MOST = 400, 6
GENERATE = "/inference/v1/generate"
SETTINGS = {
    "num_generations": 2,
    "per_device_train_batch_size": 2,
    "max_completion_length": MOST,
    "max_steps": 4,
    "save_steps": 2,
}


@pytest.fixture(scope="module")
def gpus() -> Iterator[Nodes]:
    """Two nodes, each with what Ray takes for a GPU, whose Python finds the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        before = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_IN), os.getcwd(), before]))
        patch.setenv("OMP_NUM_THREADS", "1")
        with Nodes(2, cpus=2, gpus=1) as running:
            yield running


@dataclass
class Training:
    """A training of the tiny model, and what the stand-in was asked."""

    store: Store
    model: Path
    calls: Path
    nodes: Nodes

    @contextlib.contextmanager
    def running(self, *more: str) -> Iterator[subprocess.Popen[str]]:
        """`vlt train grpo --vllm server` on the cluster."""
        settings = [word for k, v in SETTINGS.items() for word in ("--set", f"{k}={v}")]
        with start_vlt(
            *("train", "grpo", "-w", self.store.root, "--data", "items", "--model", self.model),
            *("--vllm", "server", "--ray", self.nodes.address),
            *("--max-prompt-tokens", TOKENS, *settings, *more),
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    def noted(self, what: str) -> list[dict[str, Any]]:
        """The calls of this kind so far."""
        found = []
        # The last one may be half written.
        ends = (FileNotFoundError, EOFError, pickle.UnpicklingError)
        with contextlib.suppress(*ends), open(self.calls, "rb") as opened:
            while True:
                name, told = pickle.load(opened)
                found += [told] if name == what else []
        return found

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The requests at this path so far."""
        return [call for call in self.noted("asked") if call["path"] == path]

    def left(self) -> list[object]:
        """What is there of it: servers, and places that they hold."""
        servers = [call["pid"] for call in self.noted("serve")]
        return [*filter(alive, servers), *places(self.nodes)]


@pytest.fixture
def training(gpus: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    store = Store(tmp_path / "workspace")
    items(store, 8)
    monkeypatch.setenv("VLLM_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("VLLM_API_KEY", "of-generation")
    monkeypatch.setenv("HTTP_PROXY", f"http://{LOOPBACK}:9")
    return Training(store, tiny_vlm(tmp_path / "vlm"), tmp_path / "calls", gpus)


def test_it_generates_and_is_replaced_when_it_is_lost(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is killed, then its node: each attempt of the training has a server of its own."""
    monkeypatch.setenv("VLLM_SECONDS", "1")
    nodes = training.nodes
    with training.running() as child:
        wait_for(lambda: len(training.asked(GENERATE)) == 3, child, SECONDS)  # after a checkpoint
        [first] = training.noted("serve")
        os.kill(first["pid"], signal.SIGKILL)
        wait_for(lambda: len(training.asked(GENERATE)) == 4, child, SECONDS)
        [its] = [node for node in nodes.nodes if workers_of(node, "TrainingReplica")]
        nodes.kill(its)
        nodes.nodes.append(nodes.add())
        out, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 0, (out + err)[-3000:]
    made = training.store.open("grpo-model")
    assert made.manifest.facts["resumed_at"] == 2 and made.manifest.facts["processes_lost"] == 2
    assert pq.read_table(made.path / "rollouts.parquet").num_rows == 2 * SETTINGS["max_steps"]
    servers = training.noted("serve")
    assert len(servers) == 3
    for server in servers:
        given = server["arguments"]
        assert given["model"] == given["served_model_name"] == str(training.model)
        assert given["host"] == LOOPBACK
        assert given["weight_transfer_config"] == {"backend": "nccl"} and given["enable_scale_out"]
        assert given["logprobs_mode"] == "processed_logprobs" and given["max_logprobs"] == -1
        assert given["max_model_len"] == TOKENS + MOST and given["tensor_parallel_size"] == 1
        assert given["gpu_memory_utilization"] == 0.9 and given["model_impl"] == "vllm"
        wanted = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_API_KEY": "", "CUDA_VISIBLE_DEVICES": "0"}
        assert server["environment"] == wanted
        asked = [c for c in training.noted("asked") if c["server"] == server["pid"]]
        paths = [call["path"] for call in asked]
        assert paths.count("/init_weight_transfer_engine") == 1
        info = asked[paths.index("/init_weight_transfer_engine")]["body"]["init_info"]
        assert info["master_address"] == LOOPBACK and info["world_size"] == 2
        start = paths.index("/start_weight_update")
        assert paths[start + 1 : start + 5] == [
            "/update_weights",
            "/finish_weight_update",
            "/reset_prefix_cache",
            "/reset_encoder_cache",
        ]  # before anything is generated
        assert start < paths.index("/v1/chat/completions/render") < paths.index(GENERATE)
    assert len(training.noted("joined")) == 3
    update = training.asked("/update_weights")[0]["body"]["update_info"]
    assert update["names"] == [name for name, _ in training.noted("sent")[0]["weights"]]
    [image] = training.asked(GENERATE)[0]["body"]["features"]["mm_placeholders"]["image"]
    assert image["length"] > 1  # TRL has found the image's tokens in the prompt
    assert not training.left()


@pytest.mark.parametrize("end", ["kill -9", "ctrl-C while it loads"])
def test_it_ends_with_its_training(
    training: Training, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    loads = end.endswith("loads")
    monkeypatch.setenv("VLLM_LOADS" if loads else "VLLM_SECONDS", "600")
    with training.running() as child:
        wait_for(lambda: training.noted("serve" if loads else "asked"), child, SECONDS)
        child.send_signal(signal.SIGINT if loads else signal.SIGKILL)
        child.communicate(timeout=60)
        assert child.returncode == (130 if loads else -signal.SIGKILL)
    wait_for(lambda: not training.left(), seconds=60)


def test_it_does_not_start(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_REFUSES", "1")
    with training.running() as child:
        _, err = child.communicate(timeout=SECONDS)
        assert child.returncode == 1
    says = (
        f"the training's vLLM server, on {LOOPBACK}: vllm serve did not start: ValueError: no such"
    )
    assert says in " ".join(err.split())
    assert not training.left()


def test_room_beside_it() -> None:
    def nodes(*each: tuple[int, int]) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": c, "GPU": g}} for c, g in each]

    assert room(nodes((8, 4), (8, 4)), gpu=True, server=2) == 6
    assert room(nodes((8, 4), (8, 2)), gpu=True, server=4) == 2
    assert room(nodes((1, 1), (4, 1)), gpu=True, server=1) == 1
    assert room(nodes((0, 1), (4, 1)), gpu=True, server=1) == 0
    assert room_for(nodes((8, 4)), 4, gpu=True, server=1).endswith(
        "room for 3 of 4 processes (a GPU and a core each) beside its vLLM server"
    )
    check_room(nodes((8, 4), (8, 4)), 6, 2)
    for given, processes, server, says in (
        (nodes((8, 0), (8, 0)), 1, 1, r"the Ray cluster \(2 nodes\) has no GPUs, and the weights"),
        (nodes((8, 2)), 1, 4, "it needs 4 GPUs of one node .* has more than 2; lower it"),
        (nodes((8, 4)), 4, 1, "room for 3 of 4 processes .* give --processes 3, add a node, or"),
        (nodes((8, 1)), 1, 1, "takes 1 GPU and 1 core, which leaves no GPU .* to train on"),
    ):
        with pytest.raises(UserError, match=f"^vllm server: .*{says}"):
            check_room(given, processes, server)


def test_its_arguments() -> None:
    assert "--enable-scale-out" not in required("0.29.1")
    assert "--enable-scale-out" in required("0.31.0+cu129")
    words = serve_arguments(
        {
            "vllm_tensor_parallel_size": 2,
            "vllm_gpu_memory_utilization": 0.5,
            "vllm_model_impl": "transformers",
            "trust_remote_code": True,
        }
    )
    said = " ".join(words)
    assert "--tensor-parallel-size 2 --model-impl transformers" in said
    assert "--gpu-memory-utilization 0.5 --trust-remote-code" in said
    assert "--max-model-len" not in said
