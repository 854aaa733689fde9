"""How many cores may be used: the setting, the kernel's limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli import run_vlt
from vlt import cores
from vlt.errors import UsageError


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cores.VARIABLE, raising=False)


def test_the_setting_outweighs_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.processes() == cores.usable_cores()
    monkeypatch.setenv(cores.VARIABLE, "7")
    assert cores.processes() == 7


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_what_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(cores.VARIABLE, value)
    with pytest.raises(UsageError, match=f"VLT_PROCESSES='{value}' is not a number of processes"):
        cores.processes()


def test_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    monkeypatch.setattr(cores, "OWN_CGROUP", Path("/nowhere"))
    assert cores.usable_cores() == 3


@pytest.mark.parametrize(
    ("files", "own", "usable"),
    [
        ({"a/b/cpu.max": "max 100000"}, "0::/a/b", 8),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "250000 100000"}, "0::/a/b", 3),
        ({"cpu.max": "50000 100000"}, "0::/", 1),
        (
            {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"},
            "3:cpuset:/x\n4:cpu,cpuacct:/a",
            2,
        ),
        ({"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, "4:cpu:/a", 8),
        ({}, "0::/gone", 8),
    ],
)
def test_quotas_of_containers_count(
    files: dict[str, str], own: str, usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own + "\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.usable_cores() == usable


def test_the_option_wants_at_least_one(tmp_path: Path) -> None:
    done = run_vlt("-w", tmp_path, "stats", "x", "--processes", "0")
    assert done.returncode == 2
    assert "Invalid value for '--processes'" in done.stderr
