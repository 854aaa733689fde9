"""`vlt import` from buckets: a file with its images, a folder, a pattern, what has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli import vlt
from tests.hub_server import HubServer
from tests.test_near_images import chart, encoded
from vlt.datagen.sources import Import, make_items
from vlt.datagen.sources.remote import is_remote
from vlt.errors import UsageError, UserError
from vlt.images.store import ImageStore
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

PICTURES = [encoded(chart([n, 95 - n])) for n in (10, 30, 50)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """protocol://bucket of an empty bucket: fsspec's in memory, and S3 as moto serves it on loopback."""
    if request.param == "memory":
        files = fsspec.filesystem("memory")
        files.store.clear()
        yield "memory://data"
        files.store.clear()
        return
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    fsspec.filesystem("s3").mkdir("data")
    yield "s3://data"
    fsspec.filesystem("s3").clear_instance_cache()
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()
    server.stop()


def put(place: str, content: bytes) -> None:
    with fsspec.open(place, "wb") as out:
        out.write(content)


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def asked(number: int, **fields: Any) -> dict[str, Any]:
    return {"question": f"How many, {number}?", "answer": str(number), **fields}


def imported(tmp_path: Path, source: str, **settings: Any) -> Dataset:
    with Workspace(tmp_path / "workspace") as workspace:
        return make_items(workspace, Import(source=source, **settings), images=workspace.images)[0]


def test_a_file_with_the_images_that_its_rows_name(bucket: str, tmp_path: Path) -> None:
    for n, picture in enumerate(PICTURES):
        put(f"{bucket}/set/img/{n}.png", picture)
    put(f"{bucket}/set/img/others.png", PICTURES[0])
    rows = [asked(0, image="img/0.png"), asked(1, images=["img/1.png", "./img/2.png"])]
    put(f"{bucket}/set/questions.jsonl", lines(*rows, asked(3, image="img/none.png")))
    made = imported(tmp_path, f"{bucket}/set/questions.jsonl")
    assert made.table(["answer", "source"]).to_pylist() == [
        {"answer": "0", "source": "questions"},
        {"answer": "1", "source": "questions"},
    ]
    with ImageStore(tmp_path / "workspace" / "images", read_only=True) as images:
        found = [[images.read(name) for name in row["images"]] for row in made.rows()]
    assert found == [PICTURES[:1], PICTURES[1:]]
    assert len(made.dropped) == 1
    assert len(list((tmp_path / "cache").rglob("*.png"))) == 3, "no more than the rows name"


def test_the_content_is_what_makes_a_version(bucket: str, tmp_path: Path) -> None:
    content = lines(asked(1), asked(2))
    put(f"{bucket}/a/q.jsonl", content)
    first = imported(tmp_path, f"{bucket}/a/q.jsonl")
    (tmp_path / "q.jsonl").write_bytes(content)
    assert imported(tmp_path, str(tmp_path / "q.jsonl")).ref == first.ref
    put(f"{bucket}/a/q.jsonl", lines(asked(1), asked(3)))
    assert imported(tmp_path, f"{bucket}/a/q.jsonl").ref != first.ref


def test_a_folder_and_a_pattern(bucket: str, tmp_path: Path) -> None:
    for part in range(3):
        file = tmp_path / "part.parquet"
        pq.write_table(pa.Table.from_pylist([asked(10 * part + n) for n in range(4)]), file)
        put(f"{bucket}/set/part-{part}.parquet", file.read_bytes())
    put(f"{bucket}/set/.hidden/part-9.parquet", b"no Parquet")
    assert imported(tmp_path, f"{bucket}/set").manifest.rows == 12
    some = imported(tmp_path, f"{bucket}/set/part-[01].parquet")
    assert some.table()["answer"].to_pylist() == [str(10 * p + n) for p in (0, 1) for n in range(4)]


def test_what_is_taken_away_there_is_no_longer_imported(bucket: str, tmp_path: Path) -> None:
    for place, source in (("folder", ""), ("pattern", "/*.jsonl")):
        for part in (1, 2):
            put(f"{bucket}/{place}/shard-{part}.jsonl", lines(asked(part)))
        assert imported(tmp_path, f"{bucket}/{place}{source}").manifest.rows == 2
        files, path = fsspec.url_to_fs(f"{bucket}/{place}/shard-2.jsonl")
        files.rm(path)
        left = imported(tmp_path, f"{bucket}/{place}{source}")
        assert left.table()["answer"].to_pylist() == ["1"]


def test_what_has_not_changed_is_not_copied_again(bucket: str, tmp_path: Path) -> None:
    def copies() -> dict[str, int]:
        return {f.name: f.stat().st_ino for f in (tmp_path / "cache").rglob("part-*")}

    for n in (1, 2):
        put(f"{bucket}/set/part-{n}.jsonl", lines(asked(n)))
    imported(tmp_path, f"{bucket}/set")
    first = copies()
    put(f"{bucket}/set/part-2.jsonl", lines(asked(5)))
    assert imported(tmp_path, f"{bucket}/set").table()["answer"].to_pylist() == ["1", "5"]
    second = copies()
    assert second["part-1.jsonl"] == first["part-1.jsonl"]
    assert second["part-2.jsonl"] != first["part-2.jsonl"]


def test_what_is_not_there_is_told(bucket: str, tmp_path: Path) -> None:
    for place in ("none.jsonl", "nothing/here", "none-*.parquet"):
        with pytest.raises(UserError, match=r"there is nothing at '.*'; check the path"):
            imported(tmp_path, f"{bucket}/{place}")
    with pytest.raises(UsageError, match="is not on the Hub; leave out --revision"):
        imported(tmp_path, f"{bucket}/x.jsonl", revision="main")


UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("you/set", repo_type="dataset")
api.upload_folder(folder_path=sys.argv[1], repo_id="you/set", repo_type="dataset")
"""


def test_files_of_the_hub_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "q.jsonl").write_bytes(lines(asked(1, image="a.png")))
    (tmp_path / "set" / "data" / "a.png").write_bytes(PICTURES[0])
    with HubServer(tmp_path / "hub") as hub:
        environment = hub.environment(tmp_path / "hf")
        command = [sys.executable, "-c", UPLOAD, tmp_path / "set"]
        subprocess.run(command, env={**os.environ, **environment}, check=True)
        source = "hf://datasets/you/set/data/q.jsonl"
        said = vlt("-w", tmp_path / "w", "import", source, **environment)
    assert "items@v1" in said
    assert len(Workspace(tmp_path / "w").open("items").table()["images"][0]) == 1


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(UserError, match=r"cannot be read \(.*127.0.0.1:9.*\); check the path"):
        imported(tmp_path, "s3://data/x.jsonl")


def test_a_library_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install gcsfs to access GCS")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(UserError, match=r"not installed; pip install 'vlt-loop\[gs\]'"):
        imported(tmp_path, "gs://bucket/x.jsonl")
    with pytest.raises(UserError, match="not installed; Install gcsfs"):
        imported(tmp_path, "az://bucket/x.jsonl")


def test_a_protocol_that_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read \(Protocol not known: nosuch"):
        imported(tmp_path, "nosuch://x/y.jsonl")


@pytest.mark.parametrize(
    ("source", "remote"),
    [
        ("s3://a/b", True),
        ("hf://datasets/a/b", True),
        ("a/b", False),
        ("file:///a", False),
        ("C:\\a", False),
        ("mine.py:rows", False),
        ("s3://", False),
    ],
)
def test_what_is_remote(source: str, remote: bool) -> None:
    assert is_remote(source) == remote
