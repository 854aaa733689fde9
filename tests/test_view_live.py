"""vlt view while a workspace changes, with almost empty workspaces, and on this machine only."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli import vlt_error
from tests.rows import dataset, item
from tests.viewed import Site, cards, fill, grid, rows_of, sentence, serving
from vlt.workspace.manifest import Manifest, Stage
from vlt.workspace.store import Store


def test_a_version_that_is_written_meanwhile(tmp_path: Path) -> None:
    """It is not visible while being written, and appears at the next load afterwards."""
    workspace = tmp_path / "workspace"
    store = fill(workspace)
    with serving(workspace) as site:
        from tests.rows import KINDS, pa
        from vlt.workspace.writer import Writer

        table = pa.Table.from_pylist([item("Which one?", "7")], schema=KINDS["item"])
        with Writer(store, Stage("test", {}), "fresh", "item") as writer:
            writer.expect(table)
            writer.keep(table)
            assert "fresh" not in site.get("/datasets").text
            assert site.get("/d/fresh").status == 404
            assert rows_of(grid(site)) == 60
        assert "fresh@v1" in site.get("/datasets").text
        assert rows_of(grid(site, "fresh")) == 1
        assert site.get("/").headers["location"] == "/d/fresh%40v1"
        # And one that is taken away leaves a sentence.
        shutil.rmtree(writer.dataset.path)
        assert "no dataset" in sentence(grid(site, "fresh"))
        for part in (workspace / "datasets" / "sft" / "v1").glob("part-*.parquet"):
            part.write_bytes(part.read_bytes()[:100])
        assert "sft@v1" in sentence(grid(site, "sft"))
        assert site.get("/d/items").status == 200


def test_an_empty_workspace(tmp_path: Path) -> None:
    with serving(tmp_path / "workspace") as site:
        assert site.get("/").headers["location"] == "/datasets"
        assert "The workspace is empty" in site.get("/datasets").text
        assert "None yet" in site.get("/flags").text
        assert "it is empty" in sentence(site.get("/d/items"))


def test_a_checkpoint_has_a_place_and_no_rows(tmp_path: Path) -> None:
    store = Store(tmp_path / "workspace")
    parent = dataset(store, "items", "item", [item()])
    manifest = Manifest(
        **{
            **vars(parent.manifest),
            **{"name": "sft-model", "kind": "checkpoint", "stage": "train sft", "rows": 0},
            "parents": [_parent(parent.manifest)],
        }
    )
    folder = store.folder("checkpoint") / "sft-model" / ".part"
    folder.mkdir(parents=True)
    store.publish(folder, manifest)
    with serving(store.root) as site:
        assert site.get("/").headers["location"] == "/d/items%40v1"
        assert "sft-model@v1" in site.get("/datasets").text
        answer = site.get("/d/sft-model")
        assert answer.status == 404 and "is a checkpoint and has no rows" in sentence(answer)
        (row,) = cards(site.get("/d/items"))
        way = site.get(row.split("?")[0].replace("/row/", "/path/")).text
        assert "sft-model@v1" in way and "was trained on data that includes it" in way


def _parent(manifest: Manifest) -> Any:
    from vlt.workspace.manifest import Parent

    return Parent(manifest.name, manifest.version, str(manifest.digest))


def test_it_listens_on_loopback_alone(site: Site) -> None:
    listening = []
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{site.pid}/net/{family}").read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if state == "0A" and int(local.split(":")[1], 16) == site.port:
                listening.append(local.split(":")[0])
    assert listening == ["0100007F"]  # 127.0.0.1, as the kernel writes it


def test_a_port_that_is_taken(site: Site) -> None:
    said = vlt_error("view", "-w", site.workspace, "--no-open", "--port", site.port, code=2)
    assert f"--port {site.port} is taken" in said


def test_ctrl_c_is_a_good_end(tmp_path: Path) -> None:
    with serving(tmp_path / "workspace") as site:
        assert site.get("/datasets").status == 200
        os.kill(site.pid, signal.SIGINT)
        site.process.wait(20)
    assert site.process.returncode == 0
    assert site.said == ["vlt view: stopped\n"]


def test_mistakes_at_the_start(tmp_path: Path, site: Site) -> None:
    assert "no dataset 'nothing'" in vlt_error("view", "nothing", "-w", site.workspace, "--no-open")
    file = tmp_path / "file"
    file.touch()
    assert "is a file" in vlt_error("view", "-w", file, "--no-open")


def test_little_is_loaded_to_look(site: Site) -> None:
    assert cards(grid(site, q="zebra"))
    maps = Path(f"/proc/{site.pid}/maps").read_text()
    assert "duckdb" in maps
    for heavy in ("libtorch", "pandas/", "sympy"):
        assert heavy not in maps


def test_the_browser_is_opened_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The `webbrowser` module is asked for the page's own address."""
    import threading
    import webbrowser

    from vlt.view import serve

    asked, told = threading.Event(), []
    monkeypatch.setattr(webbrowser, "open", lambda address: (told.append(address), asked.set()))

    class Server:
        def __init__(self, config: Any):
            pass

        def run(self, _: Any) -> None:
            asked.wait(10)

    monkeypatch.setattr("uvicorn.Server", Server)
    serve.serve(tmp_path, None, 0, browser=True, say=told.append)
    assert told[0].split()[2] == told[1]
    asked.clear()
    told.clear()
    monkeypatch.setattr(Server, "run", lambda *_: asked.wait(1))
    serve.serve(tmp_path, None, 0, browser=False, say=told.append)
    assert len(told) == 1
