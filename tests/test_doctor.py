"""vlt doctor finds planted problems, and says what to do about each; it writes nothing."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli import run_vlt, vlt, vlt_json
from tests.hub_server import HubServer
from tests.read_only import read_only, run_without_override
from tests.small_recipe import write_small
from tests.stub import Stub
from vlt.doctor.finding import Finding
from vlt.doctor.hub import OFFLINE
from vlt.doctor.machine import disk, gpu, memory, python
from vlt.doctor.packages import packages, torchvision
from vlt.doctor.packages import tested as constraints
from vlt.doctor.servers import server
from vlt.doctor.vllm_command import TESTED, vllm

GIB = 1 << 30


def only(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


def by_name(found: list[dict[str, str]], what: str) -> list[dict[str, str]]:
    return [finding for finding in found if finding["what"] == what]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home with an empty Hub cache, no token, and a Hub that does not answer."""
    for name in (*OFFLINE, "HF_TOKEN", "VLT_VLLM_COMMAND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


def test_an_old_python() -> None:
    found = only(python((3, 10, 4)))
    assert (found.state, found.do) == ("broken", "install Python 3.11 or newer")
    assert only(python()).state == "ok"


def plant(folder: Path, name: str, version: str, *requires: str) -> str:
    """A folder for PYTHONPATH in which a package of that version stands, by its metadata."""
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {text}" for text in requires]
    (information / "METADATA").write_text("\n".join(lines) + "\n")
    return os.pathsep.join([str(folder), str(Path(__file__).parent.parent)])


def doctor(*arguments: object, code: int = 0, **environment: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(
        vlt("doctor", *arguments, "--json", code=code, **environment)
    )
    return found


def test_a_version_that_vlt_does_not_take_and_one_that_is_not_tested(home: Path) -> None:
    old = plant(home / "old", "transformers", "4.57.0")
    (found,) = by_name(doctor(PYTHONPATH=old, code=1), "package")
    assert found["state"] == "broken"
    assert found["says"].startswith("transformers 4.57.0 is not a version that vlt supports")
    assert found["do"].startswith("`pip install 'transformers")
    newer = plant(home / "newer", "trl", "1.99.0")
    (found,) = by_name(doctor(PYTHONPATH=newer), "versions")
    assert found["state"] == "warning"
    assert f"trl 1.99.0 (tested: {constraints()['trl']})" in found["says"]
    assert f"pip install trl=={constraints()['trl']}" in found["do"]


def test_a_missing_package() -> None:
    without = {"duckdb": None}
    found = [f for f in packages(lambda name: without.get(name, "1.0")) if "duckdb" in f.says]
    assert found[0].says == "duckdb is not installed"
    assert found[0].do.startswith("`pip install 'duckdb")


def test_torchvision_missing_or_for_another_torch(home: Path) -> None:
    found = only(torchvision(lambda _: None))
    assert (found.state, found.what) == ("broken", "torchvision")
    assert "pip install torchvision" in found.do
    path = plant(home / "other", "torchvision", "0.20.0", "torch==2.5.0")
    (planted,) = by_name(doctor(PYTHONPATH=path, code=1), "torchvision")
    assert planted["says"].startswith("0.20.0 is for torch ==2.5.0, but torch ")


def test_a_gpu_that_torch_cannot_use() -> None:
    import torch

    found = only(gpu(["/dev/nvidia0"]))
    if torch.cuda.is_available():
        assert found.state == "ok"
    else:
        assert found.state == "broken"
        assert found.says.startswith("/dev/nvidia0 exists, but torch ")
    assert only(gpu([])).state == ("ok" if sys.platform == "darwin" else "warning")


def test_a_torch_whose_import_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = only(gpu(["/dev/nvidia0"]))
    assert "libcudart.so.12: cannot open" in found.says
    assert "reinstall torch" in found.do


def test_little_memory() -> None:
    found = only(memory(16 * GIB, GIB))
    assert (found.state, found.says[:24]) == ("warning", "1.0 GiB of 16.0 GiB free")
    assert only(memory(64 * GIB, 60 * GIB)).state == "ok"


def test_a_full_disk_and_little_room(tmp_path: Path) -> None:
    full, little = (next(disk(tmp_path / "w", free=free)) for free in (0, 3 * GIB))
    assert (full.what, full.state, little.state) == ("disk", "broken", "warning")
    assert "free some space" in full.do
    assert not (tmp_path / "w").exists()


def test_a_network_file_system(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    at = str(tmp_path.resolve()).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/home {at} nfs4 rw 0 0\n")
    room, kind = disk(tmp_path / "workspace", free=100 * GIB, mounts=mounts)
    assert room.state == "ok"
    assert (kind.what, kind.state) == ("file system", "warning")
    assert kind.says.startswith("nfs4 is shared by hosts")
    mounts.write_text("/dev/sda / ext4 rw 0 0\n")
    assert [f.state for f in disk(tmp_path, free=100 * GIB, mounts=mounts)] == ["ok"]


@pytest.mark.usefixtures("home")
def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in only(disk(tmp_path / "file")).says
    folder = tmp_path / "theirs"
    folder.mkdir()
    with read_only(folder):
        done = run_without_override("doctor", "-w", folder / "w", "--json", cwd=tmp_path)
    (found,) = by_name(json.loads(done.stdout), "workspace")
    assert (found["state"], "cannot be written" in found["says"]) == ("broken", True)


def program(file: Path, first: str) -> str:
    file.write_text(first)
    file.chmod(0o755)
    return str(file)


def test_vllm_missing_broken_other_and_right(tmp_path: Path) -> None:
    missing = only(vllm(str(tmp_path / "no"), needed=False))
    assert (missing.state, "VLT_VLLM_COMMAND" in missing.do) == ("broken", True)
    here = f"#!{sys.executable}\n"
    without = only(vllm(program(tmp_path / "without", here), needed=True))
    assert without.says.endswith("its Python has no vllm")
    assert "No closing quotation" in only(vllm("vllm 'oh", needed=True)).says
    for version, state in ((TESTED, "ok"), ("0.11.2", "warning")):
        plant(tmp_path / version, "vllm", version)
        # As pip writes a script whose interpreter's path is long.
        script = f"#!/bin/sh\n'''exec' {tmp_path / version / 'python'} \"$0\" \"$@\"\n' '''\n"
        wrapped = f'#!/bin/sh\nPYTHONPATH={tmp_path / version} exec {sys.executable} "$@"\n'
        program(tmp_path / version / "python", wrapped)
        found = only(vllm(program(tmp_path / f"vllm-{version}", script), needed=True))
        assert (found.state, found.says.split()[0].rstrip(";")) == (state, version)


def test_the_vllm_that_is_named_is_the_one_that_tests_run() -> None:
    from tests.real_vllm.environment import VERSION

    assert VERSION == TESTED


def test_the_hub_refuses_the_token_is_away_or_is_not_to_be_asked(home: Path) -> None:
    with HubServer(home / "hub") as hub:
        url = {"HF_ENDPOINT": hub.url}
        (fine,) = by_name(doctor(**url, HF_TOKEN="hf_loopback"), "Hub")
        assert (fine["state"], "logged in as user" in fine["says"]) == ("ok", True)
        hub.trouble("GET /api/whoami-v2", 401)
        (refused,) = by_name(doctor(**url, HF_TOKEN="hf_wrong", code=1), "Hub")
        assert refused["says"] == f"{hub.url} refuses the token (401)"
        assert "hf auth login" in refused["do"]
        assert "hf_wrong" not in json.dumps(refused)
    (away,) = by_name(doctor(), "Hub")
    assert (away["state"], "cannot be reached" in away["says"]) == ("warning", True)
    (offline,) = by_name(doctor(HF_HUB_OFFLINE="1"), "Hub")
    assert offline["says"] == "HF_HUB_OFFLINE is set, so nothing is fetched"


def test_a_server_away_with_another_model_or_key(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(server(stub.url, ["stub"])).says == f"{stub.url} serves 'stub'"
    other = only(server(stub.url, ["stud"]))
    assert (other.state, other.do) == ("broken", "did you mean stub")
    assert "does not answer" in only(server("http://127.0.0.1:9/v1", ["m"])).says
    assert "vllm serve m --port 9" in only(server("http://127.0.0.1:9/v1", ["m"])).do
    assert "is not a URL" in only(server("127.0.0.1:8000")).says
    monkeypatch.setenv("OPENAI_API_KEY", "two\nlines")
    assert "has a character that no key has" in only(server(stub.url)).says


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers with the status in the path's first part; `slow` never answers."""

    def do_GET(self) -> None:
        part = self.path.split("/")[1]
        if part == "slow":
            time.sleep(8)
            return
        if part == "302":
            self.server.seen.append(self.headers.get("Authorization"))  # type: ignore[attr-defined]
        self.send_response(int(part))
        self.send_header("Location", "http://127.0.0.1:9/v1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_servers_that_answer_oddly(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    odd.seen = []  # type: ignore[attr-defined]
    odd.daemon_threads = True
    threading.Thread(target=odd.serve_forever, daemon=True).start()
    at = f"http://127.0.0.1:{odd.server_port}"
    try:
        monkeypatch.setattr("vlt.doctor.servers.SECONDS", 0.5)
        assert "no answer within 0.5 s" in only(server(f"{at}/slow/v1")).says
        assert only(server(f"{at}/503/v1")).state == "warning"
        assert "requires a key" in only(server(f"{at}/401/v1")).says
        assert f"{at}/404/v1" in only(server(f"{at}/404")).do
        assert "status 302" in only(server(f"{at}/302/v1")).says
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        refused = only(server(f"{at}/401/v1"))
        assert "refuses the key" in refused.says
        assert "sk-secret" not in refused.line
    finally:
        odd.shutdown()
        odd.server_close()


def test_a_recipe_with_faults_and_one_that_lacks_something(home: Path) -> None:
    recipe = write_small(home / "small.yaml")
    fine = doctor(recipe)
    assert {f["state"] for f in by_name(fine, "recipe")} == {"ok"}
    assert by_name(fine, "models.base")[0]["says"].endswith("is here")
    tree = yaml.safe_load(recipe.read_text())
    tree["models"]["captioner"] = {"model": "a/vlm", "engine": "vllm", "vllm_command": "/no/vllm"}
    tree["models"]["reasoner"] = {"model": "r", "base_url": "http://127.0.0.1:9/v1"}
    tree["models"]["base"] = {"model": "a/base", "engine": "local"}
    tree["sft"] |= {"processes": 64, "accelerate": ["zero3"]}
    recipe.write_text(yaml.safe_dump(tree))
    found = doctor(recipe, code=1, HF_HUB_OFFLINE="1")
    says = {f["what"]: f["says"] for f in found}
    assert says["models.base"] == "a/base is not in the cache, and HF_HUB_OFFLINE is set"
    assert says["vLLM"] == "there is no program '/no/vllm'"
    assert "http://127.0.0.1:9/v1 does not answer" in says["server"]
    assert "64 GPUs" in says["recipe"]
    assert by_name(doctor(recipe, code=1), "Hub")[0]["state"] == "broken"  # there is what to fetch
    tree["models"]["judges"] = {"model": "j", "base_url": "http://127.0.0.1:7/v1"}
    tree["judge"] = {"rubric": "sound", "model": "judges"}
    recipe.write_text(yaml.safe_dump(tree))
    asked = {f["says"] for f in by_name(doctor(recipe, code=1), "server")}
    assert sum("http://127.0.0.1:7/v1 does not answer" in says for says in asked) == 1
    del tree["judge"]
    tree["filters"] = ["verfy"]
    recipe.write_text(yaml.safe_dump(tree))
    (faulty,) = by_name(doctor(recipe, code=1), "recipe")
    assert "no filter is called 'verfy'" in faulty["says"]


def test_one_line_each_and_nothing_is_written(home: Path) -> None:
    (home / "here").mkdir()
    before = sorted(home.rglob("*"))
    done = run_vlt(
        "doctor", "-w", home / "w", "--base-url", "http://127.0.0.1:9/v1", cwd=home / "here"
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(line.split()[0] in ("ok", "warning", "broken") for line in lines)
    assert [line for line in lines if line.startswith("broken")][-1].split()[1] == "server"
    assert done.stderr.strip().startswith("1 broken")
    assert sorted(home.rglob("*")) == before
    assert len(vlt_json("doctor", "-w", home / "w")) == len(lines) - 1


def test_torch_is_not_imported_here() -> None:
    """Without a GPU no process imports it; the command itself never does."""
    import subprocess

    script = (
        "import sys; from pathlib import Path; from vlt.doctor.examine import examine; "
        "examine(Path('w')); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False False\n"
