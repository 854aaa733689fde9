"""A workspace on a disk that two hosts share for real, by GlusterFS: see network_disk.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network_disk import NetworkDisk, lacks
from tests.processes import wait_for
from tests.stub import Stub
from tests.test_gen_crash import check_whole, make_items
from vlt.images.store import ImageStore
from vlt.shared_disk import shared_by_hosts
from vlt.workspace.store import Store

ROWS, AT_ONCE = 60, 4
A, B = "host-a", "host-b"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[NetworkDisk]:
    if reason := lacks():  # of what `make shared-disk` installs, or of the right to mount it
        pytest.skip(reason)
    with NetworkDisk(tmp_path / "shared", [A, B]) as mounted:
        yield mounted


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub(latency_ms=300) as running:
        yield running


def start(disk: NetworkDisk, host: str, *words: object, **more: str) -> subprocess.Popen[str]:
    """`vlt` on this host, in the workspace on the disk."""
    command = [*disk.on(host), sys.executable, "-m", "vlt.cli.main", *map(str, words)]
    return subprocess.Popen(
        [*command, "-w", str(disk.at(host) / "workspace")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd(), **more},
    )


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit status, what it said on standard error)"""
    _, said = child.communicate(timeout=120)
    return child.returncode, " ".join(said.split())


def rollouts(stub: Stub, *more: object) -> list[object]:
    asked = ["--model", "stub", "--base-url", stub.url, "--concurrency", AT_ONCE, "-k", 1]
    return ["gen", "rollouts", *asked, *more]


def test_one_host_writes_and_the_other_goes_on_when_it_is_lost(
    disk: NetworkDisk, stub: Stub, tmp_path: Path
) -> None:
    assert shared_by_hosts(disk.at(A)) == "fuse.glusterfs"
    make_items(disk.at(A) / "workspace", ROWS)
    first = start(disk, A, *rollouts(stub))
    wait_for(lambda: stub.stats()["answered"] >= 8)
    status, said = ended(start(disk, B, *rollouts(stub)))
    assert status == 1
    assert f"'samples' is being written by another vlt (process {first.pid} on {A})" in said
    status, said = ended(start(disk, B, *rollouts(stub, "--as", "other", "--limit", 2)))
    assert status == 1 and "on a disk shared by hosts (fuse.glusterfs) and in use" in said
    local = str(tmp_path / "journal.sqlite")
    beside = start(disk, B, *rollouts(stub, "--as", "other", "--limit", 2), VLT_JOURNAL=local)
    assert ended(beside)[0] == 0
    assert first.poll() is None and stub.stats()["answered"] < ROWS, "it was all at the same time"

    disk.lose(A)  # its locks go with it
    first.kill()
    first.communicate()
    second = start(disk, B, *rollouts(stub))
    before = stub.stats()["answered"]
    wait_for(lambda: stub.stats()["answered"] >= before + 8)
    second.kill()  # the process this time: the host stays
    second.communicate()
    disk.mount(A)
    status, said = ended(start(disk, A, *rollouts(stub)))
    assert status == 0, said
    made = Store(disk.at(B) / "workspace").open("samples")
    check_whole(made, ROWS)
    asked = stub.stats()["requests"] - 2  # of `other`
    assert ROWS <= asked <= ROWS + 2 * AT_ONCE


VERSIONS = """
import sys
from pathlib import Path
from tests.rows import dataset, item
from tests.test_near_images import chart, encoded
from vlt.errors import UserError
from vlt.images.store import ImageStore
from vlt.workspace.store import Store
host, workspace = sys.argv[1], Path(sys.argv[2])
store = Store(workspace)
for turn in range(int(sys.argv[3])):
    with ImageStore(store.images_folder) as images:
        image = images.add(encoded(chart([turn, 50, len(host) + ord(host[-1]) % 40])))
    while True:
        try:
            dataset(store, "items", "item", [item(f"{host} {turn}", images=[image])])
        except UserError as error:
            if "is being written by another vlt" not in str(error):
                raise
        else:
            break
"""
"""Versions under one name, as fast as they can be made, each with an image."""


def test_versions_of_two_hosts_are_all_there_and_whole_for_a_reader(disk: NetworkDisk) -> None:
    turns = 12
    given = {host: [host, str(disk.at(host) / "workspace"), str(turns)] for host in (A, B)}
    writers = [
        subprocess.Popen(
            [*disk.on(host), sys.executable, "-c", VERSIONS, *given[host]],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            stderr=subprocess.PIPE,
            text=True,
        )
        for host in (A, B)
    ]
    reader, seen = Store(disk.at(B) / "workspace"), 0
    while any(writer.poll() is None for writer in writers):
        for version in reader.all():
            assert version.table().num_rows == version.manifest.rows == 1
            seen += 1
    for writer in writers:
        assert ended(writer) == (0, "")
    assert seen > turns
    for host in (A, B):
        store = Store(disk.at(host) / "workspace")
        refs = {version.ref for version in store.all()}
        assert refs == {f"items@v{number}" for number in range(1, 2 * turns + 1)}
        rows = [version.table().to_pylist()[0] for version in store.all()]
        asked = {row["question"] for row in rows}
        assert asked == {f"{h} {turn}" for h in (A, B) for turn in range(turns)}
        with ImageStore(store.images_folder, read_only=True) as images:
            for row in rows:
                assert len(images.read(row["images"][0])) > 100
