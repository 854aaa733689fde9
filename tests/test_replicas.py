"""Replicas without a cluster: who is asked while servers come and go, what fits, what a user gets wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli import run_vlt, vlt_error
from tests.rows import dataset, item
from tests.stub import Stub
from tests.test_vllm_engine import FAKE, requests
from vlt.engine.model import Model
from vlt.engine.openai import OpenAIEngine
from vlt.engine.replica_count import Wanted, wanted
from vlt.errors import UsageError, UserError
from vlt.request import Completion
from vlt.runs.recipe import load_recipe
from vlt.runs.schema import recipe_schema
from vlt.runs.status import status
from vlt.workspace.progress import ReplicaProgress, report_replicas, tracked
from vlt.workspace.store import Store


def no_images(sha256: str) -> bytes:
    raise LookupError(sha256)


def test_servers_come_and_go_while_requests_are_made() -> None:
    def check() -> None:
        if not came.is_set() and time.monotonic() - began > 30:
            raise UserError("nobody comes")

    began, came = time.monotonic(), threading.Event()
    engine = OpenAIEngine("m", (), load_image=no_images, concurrency=4, check=check)
    with Stub(latency_ms=40) as first, Stub(latency_ms=40) as second:

        def move() -> None:
            time.sleep(0.3)  # nobody is there at first
            endpoint = engine.servers.join(first.url)
            came.set()
            while first.stats()["requests"] < 40:
                time.sleep(0.01)
            engine.servers.leave(endpoint)
            time.sleep(0.3)  # nor for a while
            engine.servers.join(second.url)

        moving = threading.Thread(target=move)
        moving.start()
        got = list(engine.complete(requests(120)))
        moving.join()
        engine.close()
        assert all(isinstance(c, Completion) for c in got)
        assert len({c.key for c in got}) == len(got) == 120
        asked = first.stats()["requests"], second.stats()["requests"]
        assert asked[0] < 60 and asked[1] > 60
        assert sum(asked) - 120 <= 4  # what was in flight


def test_a_server_joins_while_the_run_is_being_ended() -> None:
    engine = OpenAIEngine("m", (), load_image=no_images, concurrency=4, check=lambda: None)
    with Stub(latency_ms=10) as stub:
        engine.servers.join(stub.url)
        results = engine.complete(requests(50))
        next(results)
        engine.servers.join(stub.url)  # heard of when the loop runs again, to close what is open
        results.close()  # type: ignore[attr-defined]
        engine.servers.join(stub.url)
        engine.close()


def test_nobody_comes() -> None:
    def check() -> None:
        raise UserError("no replica is left")

    engine = OpenAIEngine("m", (), load_image=no_images, check=check)
    with pytest.raises(UserError, match="no replica is left"):
        list(engine.complete(requests(3)))
    engine.close()


def cluster(*nodes: dict[str, float]) -> Any:
    """What `wanted` asks of ray: nodes with so much, and a lost one."""
    alive = [{"Alive": True, "Resources": resources} for resources in nodes]
    return SimpleNamespace(nodes=lambda: [*alive, {"Alive": False, "Resources": {"GPU": 99.0}}])


GPUS = ({"CPU": 8.0}, {"CPU": 32.0, "GPU": 8.0}, {"CPU": 32.0, "GPU": 4.0})
CORES: tuple[dict[str, float], ...] = ({}, {"CPU": 4.0}, {"CPU": 4.0})


@pytest.mark.parametrize(
    ("nodes", "asked", "found"),
    [
        (GPUS, {}, Wanted(1, 1)),
        (GPUS, {"replicas": "auto"}, Wanted(12, 1)),
        (GPUS, {"replicas": "auto", "gpus_per_replica": 3}, Wanted(3, 3)),  # 2 there, 1 here
        (GPUS, {"replicas": 3, "gpus_per_replica": 4}, Wanted(3, 4)),
        (CORES, {"replicas": 5}, Wanted(5, 0)),
        (CORES, {"replicas": "auto", "gpus_per_replica": 0}, Wanted(2, 0)),  # one a node
        (
            GPUS,
            {"replicas": 4, "gpus_per_replica": 4},
            "4 replicas of 4 GPUs were requested, .* for 3;",
        ),
        (GPUS, {"gpus_per_replica": 16}, "needs 16 GPUs, and no node .* has more than 8; lower"),
        (CORES, {"replicas": "auto"}, "has no GPUs, .* 'm' needs 1; .* --gpus-per-replica 0"),
        (({}, {}), {"replicas": 1}, "no node of the Ray cluster has a core for a replica"),
    ],
)
def test_what_a_cluster_takes(
    nodes: tuple[dict[str, float], ...], asked: dict[str, Any], found: Wanted | str
) -> None:
    model = Model("m", engine="vllm", **asked)
    if isinstance(found, Wanted):
        assert wanted(model, cluster(*nodes)) == found
    else:
        with pytest.raises(UserError, match=found):
            wanted(model, cluster(*nodes))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            ["--engine", "vllm", "--replicas", "2"],
            "--replicas: replicas run on a Ray cluster, and none is",
        ),
        (
            ["--engine", "vllm", "--gpus-per-replica", "2"],
            "--gpus-per-replica: replicas run on a Ray",
        ),
        (
            ["--base-url", "http://localhost:1/v1", "--replicas", "2"],
            "'m' uses openai; give --engine vllm",
        ),
        (
            ["--engine", "vllm", "--replicas", "many"],
            "replicas = 'many': give a number from 1 on, or auto",
        ),
        (["--engine", "vllm", "--ray", "there"], "--ray 'there' is no address of a Ray cluster"),
    ],
)
def test_wrong_usage(workspace: Path, more: list[str], says: str) -> None:
    dataset(Store(workspace), "items", "item", [item()])
    for command in (["gen", "rollouts"], ["eval", "items"]):
        assert says in vlt_error(*command, "-w", workspace, "--model", "m", *more, code=2)


NOBODY = "127.0.0.1:1"
RECIPE = """
name: small
cluster: {cluster}
models:
  base: {{model: org/m, engine: vllm, replicas: {replicas}, gpus_per_replica: 2}}
rounds:
- items: [{{source: 'workspace:items'}}]
"""


def test_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(cluster=NOBODY, replicas="auto"))
    loaded = load_recipe(str(file))
    assert loaded.cluster == NOBODY and loaded.models.base.replicas == "auto"
    assert load_recipe(str(file), {"models.base.replicas": 3}).models.base.replicas == 3
    for cluster, replicas, says in [
        (NOBODY, "0", "line 5: models.base.replicas"),
        ("there", "1", "line 3: cluster = 'there' is not valid: --ray 'there' is no address"),
        (
            "null",
            "2",
            "line 5: models.base: --replicas and --gpus-per-replica: replicas run on a Ray",
        ),
    ]:
        file.write_text(RECIPE.format(cluster=cluster, replicas=replicas))
        with pytest.raises(UsageError) as error:
            load_recipe(str(file), to_run=True)
        assert says in str(error.value)
    monkeypatch.setenv("VLT_RAY", "auto")  # as --ray says it
    assert load_recipe(str(file)).models.base.replicas == 2
    keys = recipe_schema()["properties"]
    assert keys["cluster"]["anyOf"][0] == {"type": "string"}


def test_where_replicas_run_is_no_identity() -> None:
    spread = Model("org/m", engine="vllm", replicas=4, gpus_per_replica=2)
    assert spread.identity() == Model("org/m").identity()


def test_status_tells_replicas(workspace: Path) -> None:
    Store(workspace)
    each: list[ReplicaProgress] = [
        {"replica": 1, "host": "10.0.0.1", "state": "ready", "rate": 12.5},
        {"replica": 2, "host": "10.0.0.2", "state": "starting", "rate": 0.0},
        {"replica": 3, "host": "", "state": "waiting", "rate": 0.0},
    ]
    with tracked(workspace, "samples", "sample", "gen rollouts"):
        time.sleep(1.0)
        report_replicas({"ready": 1, "wanted": 3, "lost_nodes": 2, "each": each})
        (stage,) = status(workspace)["stages"]
        words = run_vlt("status", "-w", workspace).stdout
    assert stage["replicas"]["each"] == each
    told = "1 of 3 replicas, 2 nodes lost (10.0.0.1 12.5/s, 10.0.0.2 starting, waiting)"
    assert told in " ".join(words.split())


IMPORTS = """
import json, sys
from vlt.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_a_run_without_a_cluster_imports_no_ray(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM_STATE", str(tmp_path))
    dataset(Store(workspace), "items", "item", [item(f"[[{i}]]") for i in range(5)])
    asks = ["gen", "rollouts", "-w", workspace, "--model", "m", "--engine", "vllm"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *map(str, asks), "-k", "1", "--vllm-command", FAKE],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported = json.loads(done.stdout.splitlines()[-1])
    assert "aiohttp" in imported and "ray" not in imported
