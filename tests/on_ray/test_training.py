"""A training over nodes: the model that one machine would train, whatever is lost on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.on_ray.cluster import Nodes
from tests.processes import alive, wait_for
from tests.test_train_wide import curve
from tests.tiny import items, samples, tiny_vlm, trained
from vlt.cluster.address import VARIABLE
from vlt.errors import UserError
from vlt.train import vllm
from vlt.train.methods.grpo import GrpoTraining
from vlt.train.on_ray import rank
from vlt.train.on_ray.driver import carried, wants_gpu
from vlt.train.on_ray.lost import LOST_TRIES, TRIES, Attempts, Ended, GivenUp
from vlt.train.on_ray.room import room, room_for
from vlt.train.resume import last_checkpoint, step_of
from vlt.workspace.store import Dataset, Store

pytestmark = pytest.mark.timeout(1500)
SETTINGS = {
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "max_steps": 12,
    "save_steps": 4,
}
SECONDS = 500
"""Most that a test waits for one thing: a machine that is shared takes its time."""
GRPO = {
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 8,
    "max_steps": 2,
    "learning_rate": 1e-3,
    "beta": 0.01,
}
RUN = """
import json, sys
from pathlib import Path
from tests.tiny import trained
from vlt.errors import UserError
from vlt.workspace.store import Store

root, model, data, name, settings = sys.argv[1:]
store = Store(Path(root))
try:
    trained("sft", store, store.open(data), model=model, settings=json.loads(settings), name=name,
            processes=2)
except UserError as error:
    raise SystemExit(str(error))
"""


@pytest.fixture(autouse=True, scope="module")
def _environment() -> Iterator[None]:
    """One thread a process, here and there: sums are of the same parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.getcwd())
        yield


@dataclass
class Made:
    """What all trainings here begin with, and what comes out of an undisturbed one on one machine."""

    store: Store
    data: Dataset
    model: str
    whole: Dataset

    def folder(self, name: str) -> Path | None:
        """The build folder of a training that runs."""
        found = list((self.store.folder("checkpoint") / name).glob(".building*"))
        return found[0] if found else None

    @contextlib.contextmanager
    def running(self, name: str, address: str, **more: object) -> Iterator[subprocess.Popen[str]]:
        """The same training on a cluster, in a process of its own, which ends with the body."""
        settings = json.dumps({**SETTINGS, **more})
        words = [str(self.store.root), self.model, self.data.ref, name, settings]
        with subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            env={**os.environ, VARIABLE: address},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as started:
            try:
                yield started
            finally:
                started.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("training")
    store = Store(folder / "workspace")
    data, model = samples(store, 24), str(tiny_vlm(folder / "vlm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        whole, _ = trained(
            "sft", store, data, model=model, settings=SETTINGS, name="whole", processes=2
        )
    return Made(store, data, model, whole)


def placed(folder: Path | None) -> dict[int, psutil.Process]:
    """The children of a training by their ranks."""
    found = {}
    for process in psutil.process_iter():
        try:
            words, variables = process.cmdline(), process.environ()
        except psutil.Error:
            continue
        if (
            folder
            and "vlt.train.child" in words
            and str(folder) in words[-1]
            and "RANK" in variables
        ):
            found[int(variables["RANK"])] = process
    return found


def test_two_nodes_train_what_one_machine_does(
    made: Made, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, nodes.address)
    again, existed = trained(
        "sft", made.store, made.data, model=made.model, settings=SETTINGS, name="whole", processes=2
    )
    assert existed and again.path == made.whole.path  # where it runs is no part of what it is
    found, existed = trained(
        "sft", made.store, made.data, model=made.model, settings=SETTINGS, name="nodes", processes=2
    )
    assert not existed
    facts, here = found.manifest.facts, made.whole.manifest.facts
    assert facts["processes"] == 2 and facts["steps"] == SETTINGS["max_steps"]
    assert facts.keys() == here.keys()
    assert curve(found) == curve(made.whole)
    assert found.manifest.digest == made.whole.manifest.digest
    assert found.manifest.parameters == made.whole.manifest.parameters
    assert not placed(Path("/"))


def test_grpo_over_nodes(made: Made, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, rewarded = items(made.store, 8), {"accuracy": 1, "repetition": 1}
    trainings = []
    for name, address in (("grpo-here", None), ("grpo-nodes", nodes.address)):
        if address:
            monkeypatch.setenv(VARIABLE, address)
        checkpoint, _ = trained(
            "grpo", made.store, prompts, model=made.model, settings=GRPO, reward=rewarded, name=name,
            processes=2,
        )  # fmt: skip
        trainings.append(checkpoint)
    here, there = trainings
    assert curve(there, "reward") == curve(here, "reward")
    assert there.manifest.digest == here.manifest.digest


def test_accelerates_launcher_on_each_node(
    made: Made, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, nodes.address)
    found, _ = trained(
        "sft", made.store, made.data, model=made.model, settings=SETTINGS, name="launched",
        processes=2, accelerate=["--cpu"],
    )  # fmt: skip
    assert found.manifest.facts["processes"] == 2
    assert found.manifest.digest == made.whole.manifest.digest


def test_a_cluster_for_one_command_is_gone_with_it(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLT_MARKED", str(tmp_path))
    with made.running("local", "local") as running:
        wait_for(lambda: (f := made.folder("local")) and last_checkpoint(f / "run", 2), SECONDS)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    _, left = psutil.wait_procs(marked(tmp_path), timeout=30)
    assert not left
    with made.running("local", "local") as running:
        _, words = running.communicate(timeout=SECONDS)
        assert running.returncode == 0, words
    assert made.store.open("local").manifest.digest == made.whole.manifest.digest
    _, left = psutil.wait_procs(marked(tmp_path), timeout=30)
    assert not left


def marked(by: Path) -> list[psutil.Process]:
    """The processes that have it in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("VLT_MARKED") == str(by):
                found.append(process)
    return found


def test_a_mistake_is_told_once_and_an_end_after_another_attempt(
    made: Made, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, nodes.address)
    more: dict[str, Any] = {"model": made.model, "processes": 2}
    with pytest.raises(UserError, match="^TRL rejects the settings: .*wavy"):
        trained(
            "sft", made.store, made.data, settings={**SETTINGS, "lr_scheduler_type": "wavy"},
            name="refused", **more,
        )  # fmt: skip
    said = r"^training ended with: .*; the full log is in '.*log-\d.txt' \(2 attempts\)"
    with pytest.raises(UserError, match=said):
        trained(
            "sft", made.store, made.data, settings={**SETTINGS, "optim": "adamw_8bit"},
            name="failed", **more,
        )  # fmt: skip


def checkpoint_begins(folder: Path, step: int) -> bool:
    """Whether a checkpoint is being written: its folder is there."""
    return (folder / f"run/checkpoint-{step}").is_dir()


def steps(folder: Path) -> int:
    """The last step that was told."""
    lines = (folder / "progress.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    return max((line.get("step", 0) for line in told), default=0)


MOMENTS = {
    "started": (lambda folder: len(placed(folder)) == 2, 1),
    "first step": (lambda folder: steps(folder) >= 1, 0),
    "before the first checkpoint": (lambda folder: steps(folder) >= 3, 1),
    "writing the first": (lambda folder: checkpoint_begins(folder, 4), 0),
    "writing it, the other": (lambda folder: checkpoint_begins(folder, 4), 1),
    "it is whole": (lambda folder: last_checkpoint(folder / "run", 2) is not None, 0),
    "after it": (lambda folder: steps(folder) >= 6, 1),
    "writing the second": (lambda folder: checkpoint_begins(folder, 8), 1),
    "writing the last": (lambda folder: checkpoint_begins(folder, 12), 0),
    "writing the model": (lambda folder: (folder / "model").is_dir(), 0),
}
"""When which rank's node is killed."""
CHOSEN = ("first step", "writing the first", "writing the second")
EVERY = bool(os.environ.get("VLT_EVERY_MOMENT"))


@pytest.mark.parametrize("moment", MOMENTS if EVERY else CHOSEN)
def test_a_lost_node_costs_time_alone(made: Made, mortal: Nodes, moment: str) -> None:
    """The two that are left go on."""
    while len(mortal.nodes) < 3:
        mortal.nodes.append(mortal.add())
    ready, of = MOMENTS[moment]
    name = "lost-" + moment.replace(" ", "-").replace(",", "")
    with made.running(name, mortal.address) as running:
        wait_for(lambda: (f := made.folder(name)) and (f / "progress.jsonl").exists(), SECONDS)
        folder = made.folder(name)
        assert folder
        wait_for(lambda: ready(folder), SECONDS)
        before = placed(folder)
        mortal.kill(node_of(mortal, before[of]))
        _, words = running.communicate(timeout=SECONDS)
        assert running.returncode == 0, words[-2000:]
    found = made.store.open(name)
    assert found.manifest.digest == made.whole.manifest.digest
    assert curve(found) == curve(made.whole)
    facts = found.manifest.facts
    assert facts["processes_lost"] >= 1
    if moment == "it is whole":
        assert facts["resumed_at"] >= 4
    assert not any(process.is_running() for process in before.values())


def test_it_waits_for_a_node_and_goes_on_with_a_new_one(made: Made) -> None:
    def says() -> str:
        return (folder / "progress.jsonl").read_text()

    with Nodes(2) as own, made.running("added", own.address) as running:
        wait_for(lambda: (f := made.folder("added")) and last_checkpoint(f / "run", 2), SECONDS)
        folder = made.folder("added")
        assert folder
        own.kill(node_of(own, placed(folder)[1]))
        wait_for(
            lambda: "the cluster has room for 1 of 2 processes (a core each)" in says(), SECONDS
        )
        own.add()
        _, words = running.communicate(timeout=SECONDS)
        assert running.returncode == 0, words[-2000:]
    found = made.store.open("added")
    assert found.manifest.digest == made.whole.manifest.digest
    assert found.manifest.facts["resumed_at"] >= 4


def node_of(nodes: Nodes, child: psutil.Process) -> Any:
    """The node on which a process runs."""
    parents = {parent.pid for parent in child.parents()}
    for node in nodes.nodes:
        if node.all_processes["raylet"][0].process.pid in parents:
            return node
    raise AssertionError("it is on none")


@pytest.mark.parametrize("end", ["ctrl-C", "kill -9", "kill -9 of the job"])
def test_nothing_is_left_behind_and_the_same_command_goes_on(
    made: Made, nodes: Nodes, end: str
) -> None:
    name = "ended-" + end.replace(" ", "")
    with made.running(name, nodes.address) as running:
        wait_for(
            lambda: (folder := made.folder(name)) and last_checkpoint(folder / "run", 2), SECONDS
        )
        children = placed(made.folder(name))
        [job] = psutil.Process(running.pid).children()
        assert children.keys() == {0, 1}
        if end == "ctrl-C":
            running.send_signal(signal.SIGINT)
        else:
            (job if end.endswith("job") else psutil.Process(running.pid)).kill()
        _, words = running.communicate(timeout=60)
        if end.endswith("job"):
            assert "training ended by signal 9 with: " in words
        of_it = (job.pid, *(child.pid for child in children.values()))
        wait_for(lambda: not any(alive(pid) for pid in of_it))
    assert not made.store.versions(name)
    wait_for(lambda: free(nodes) == 3)
    if end == "ctrl-C":
        with made.running(name, nodes.address) as running:
            _, words = running.communicate(timeout=SECONDS)
            assert running.returncode == 0, words
        found = made.store.open(name)
        assert found.manifest.facts["resumed_at"] >= 4
        assert found.manifest.digest == made.whole.manifest.digest


def free(nodes: Nodes) -> float:
    """Cores of the cluster that nothing holds."""
    asked = (
        "import ray; ray.init(log_to_driver=False); print(ray.available_resources().get('CPU', 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "RAY_ADDRESS": nodes.address},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def test_there_is_no_room(nodes: Nodes, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"settings": {}}')
    patient = (
        "import sys; from pathlib import Path; from vlt.train.on_ray import driver, room\n"
        "room.QUIET, room.ROOM_SECONDS = 1, 3\n"
        "driver.fit(Path(sys.argv[1]), 5, [])"
    )
    done = subprocess.run(
        [sys.executable, "-c", patient, str(tmp_path)],
        env={**os.environ, VARIABLE: nodes.address},
        check=False,
    )
    assert done.returncode == 1
    wanted = "the cluster has room for 3 of 5 processes (a core each)"
    assert f"waiting for room: {wanted}" in (tmp_path / "progress.jsonl").read_text()
    told = json.loads((tmp_path / "failure.json").read_text())["sentence"]
    assert told.startswith("no attempt could start for 0 minutes: ") and wanted in told


def test_when_there_is_no_further_attempt(tmp_path: Path) -> None:
    dead: set[str] = set()
    attempts = Attempts(tmp_path, 2, lambda: dead)
    own, killed = Ended("training ended with: no memory"), Ended("by signal 9", from_outside=True)
    with pytest.raises(GivenUp, match="^wrong$"):
        attempts.after({0: own, 1: Ended("wrong", final=True)})
    for number in range(LOST_TRIES - 1):  # a lost node or process is no reason to stop
        dead.add(str(number))
        attempts.after({0: own} if number % 2 else {1: killed, 0: own})
    with pytest.raises(GivenUp, match=rf"\({LOST_TRIES} attempts\)"):
        dead.add("one more")
        attempts.after({0: RuntimeError("of Ray's: the actor died")})
    attempts = Attempts(tmp_path, 2, lambda: dead, before=set(dead))
    for _ in range(TRIES - 1):
        attempts.after({0: own})
    with pytest.raises(GivenUp, match=rf"no memory \({TRIES} attempts\)"):
        attempts.after({0: own})
    checkpoint(tmp_path / "run", 4, marks=2)
    attempts.after({0: own})  # from another checkpoint it is another first attempt
    assert "2 processes will resume from step 4" in (tmp_path / "progress.jsonl").read_text()


def checkpoint(run: Path, step: int, *, marks: int) -> Path:
    folder = run / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "max_steps": 12}))
    for number in range(marks):
        (folder / f"complete-{number}").touch()
    return folder


def test_a_checkpoint_is_whole_when_every_process_has_said_so(tmp_path: Path) -> None:
    checkpoint(tmp_path, 4, marks=2)
    checkpoint(tmp_path, 8, marks=1)
    checkpoint(tmp_path, 12, marks=2)  # of the last step
    for processes, step in ((1, 8), (2, 4)):
        found = last_checkpoint(tmp_path, processes)
        assert found and step_of(found) == step
    assert last_checkpoint(tmp_path, 3) is None


def test_what_a_process_takes_along() -> None:
    given = {
        "OPENAI_API_KEY": "k",
        "HF_HUB_OFFLINE": "1",
        "VLT_RAY": "auto",
        "NCCL_DEBUG": "INFO",
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "3",
        "SLURM_PROCID": "0",
    }
    assert carried(given).keys() == {"OPENAI_API_KEY", "HF_HUB_OFFLINE", "NCCL_DEBUG"}


def test_room_and_gpus() -> None:
    class Cluster:
        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": 9.0, "GPU": 4.0}

    of = [{"CPU": 4.0, "GPU": 8.0}, {"CPU": 4.0, "GPU": 2.0}, {"CPU": 3.0}]
    nodes = [{"Alive": True, "Resources": resources} for resources in of]
    assert room(nodes, gpu=True) == 6 and room(nodes, gpu=False) == 11
    nodes[1]["Alive"] = False
    assert room(nodes, gpu=True) == 4
    assert room_for(nodes, 5, gpu=True) == (
        "the cluster has room for 4 of 5 processes (a GPU and a core each)"
    )
    assert wants_gpu(Cluster(), {}) and not wants_gpu(Cluster(), {"use_cpu": True})


def test_a_vllm_server_is_named_as_all_nodes_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(**given: str) -> dict[str, Any]:
        return vllm.settings_of(GrpoTraining(vllm="server", settings=given))

    monkeypatch.setattr(vllm, "installed", lambda: "0.31.0")
    beside = {"vllm_server_base_url": "http://127.0.0.1:8000"}
    found = {"use_vllm": True, "vllm_mode": "server"}
    assert settings(**beside) == found
    monkeypatch.setenv(VARIABLE, "local")
    assert settings(**beside) == found
    monkeypatch.setenv(VARIABLE, "auto")
    assert settings(vllm_server_base_url="http://10.0.0.7:8000") == found
    for given in (beside, {"vllm_server_host": "localhost"}):
        with pytest.raises(UserError, match="is a different machine on each node of the cluster"):
            settings(**given)
    nodes = [{"Alive": True, "Resources": {"CPU": 4, "GPU": 2}}]
    monkeypatch.setattr(vllm, "connected", lambda: SimpleNamespace(nodes=lambda: nodes))
    assert settings() == found  # vlt starts one
    nodes.clear()
    with pytest.raises(UserError, match=r"the Ray cluster \(0 nodes\) has no GPUs"):
        settings()


def test_a_launcher_of_one_process_makes_the_environment_alone() -> None:
    words = rank.one_process(["--config_file", "mine.yaml", "--multi_gpu"])
    assert words[:2] == ["--config_file", "mine.yaml"] and "--multi_gpu" not in words
    assert words[2:6] == ["--num_processes", "1", "--num_machines", "1"]
    assert rank.one_process([]) == rank.one_process(["none"]) == []
    assert rank.interface("127.0.0.2") == "lo"
