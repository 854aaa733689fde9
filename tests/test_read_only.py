"""Reading a workspace writes nothing, so a read-only disk is fine; writing fails with one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_run import made_run
from tests.pictures import png
from tests.read_only import drop_override, read_only, run_without_override, state_of
from tests.rows import dataset, item
from tests.viewed import serving
from vlt.errors import UserError
from vlt.images.store import ImageStore
from vlt.runs.record import RecordedRun
from vlt.workspace.flags import Flag, Flags
from vlt.workspace.store import Store

LOOKING = [
    ["ls"],
    ["status"],
    ["stats", "samples"],
    ["log", "sft-model"],
    ["diff", "sft@v1", "sft@v2"],
    ["show", "sft", "--images"],
    ["show", "sft", "--dropped"],
    ["show", "items", "--json"],
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds with pictures, flags and a run's record."""
    workspace = tmp_path_factory.mktemp("read-only") / "workspace"
    store = Store(workspace)
    made_run(store)
    with RecordedRun(store.root, "mine", [(1, "sft", "", "")]) as record:
        record.begin(1, "sft")
        record.end(1, "sft", "sft@v1", False)
    row = next(iter(store.open("sft").batches())).to_pylist()[0]
    Flags(workspace).put(Flag(row["id"], row["sample"], row["model"], "flag"))
    return workspace


@pytest.fixture
def locked(filled: Path) -> Iterator[Path]:
    with read_only(filled):
        yield filled


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_looking_at_a_read_only_workspace(words: list[str], locked: Path, tmp_path: Path) -> None:
    done = run_without_override(*words, "-w", locked, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert "not in this workspace" not in done.stdout


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_looking_changes_nothing(words: list[str], filled: Path, tmp_path: Path) -> None:
    """Not on a writable disk either: no lock, no SQLite file, no folder."""
    before = state_of(filled)
    assert run_without_override(*words, "-w", filled, cwd=tmp_path).returncode == 0
    assert state_of(filled) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", ["parquet", "jsonl", "trl", "sharegpt", "easyr1"])
def test_exporting_elsewhere(format: str, locked: Path, tmp_path: Path) -> None:
    before = state_of(locked)
    words = ["export", "sft", "--format", format, "--to", tmp_path / "out", "-w", locked]
    done = run_without_override(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert any(file.stat().st_size for file in (tmp_path / "out").iterdir() if file.is_file())
    assert state_of(locked) == before


def test_a_report_elsewhere_and_a_sentence_where_it_would_lie_in_the_workspace(
    locked: Path, tmp_path: Path
) -> None:
    done = run_without_override("report", "--to", "r.html", "-w", locked, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "r.html").stat().st_size > 10_000
    assert "data:image/webp" in (tmp_path / "r.html").read_text()
    done = run_without_override("report", "-w", locked, cwd=tmp_path)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "--to" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_writing_says_one_sentence(locked: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    (tmp_path / "a.png").write_bytes(png(77))
    rows.write_text(json.dumps({"image": "a.png", "question": "How?", "answer": "3"}) + "\n")
    for words in (
        ["import", rows],
        ["import", rows, "--as", "items"],
        ["filter", "samples", "--verify"],
        ["gen", "reasoning", "--model", "m", "--base-url", "http://127.0.0.1:9/v1"],
    ):
        done = run_without_override(*words, "-w", locked, cwd=tmp_path)
        assert done.returncode == 1, words
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("vlt: ")
        assert str(locked) in done.stderr


def test_view_on_a_read_only_workspace(locked: Path) -> None:
    """It shows text and images; a mark is refused with a sentence."""
    before = state_of(locked)
    with serving(locked, before_start=drop_override) as site:
        shown = site.get("/d/sft")
        assert shown.status == 200
        (picture,) = re.findall(r'src="(/[^"]+)"', shown.text)[:1]
        assert site.get(picture).status == 200
        row = Store(locked).open("samples").table(["id"]).to_pylist()[0]
        mark = {"dataset": "samples", "id": row["id"], "mark": "flag", "token": site.token}
        refused = site.post("/mark", mark)
        assert refused.status == 404
        assert "make the workspace writable" in refused.text
    assert state_of(locked) == before


def test_python_on_a_read_only_workspace(locked: Path, tmp_path: Path) -> None:
    script = (
        "import sys, vlt\n"
        "sft = vlt.load(sys.argv[1] + '/sft')\n"
        "row = sft.to_pandas().iloc[0]\n"
        "print(len(sft.to_pandas()), sft.image(row['images'][0]).mode, 'base64' in sft._repr_html_())\n"
        "print(len(sft.dropped.to_pandas()), len(sft.sql('select * from rows')))\n"
    )
    before = state_of(locked)
    done = run_without_override("-c", script, locked, cwd=tmp_path, module=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["9", "RGB", "True", "39", "9"]
    assert state_of(locked) == before


def test_pictures_that_the_index_does_not_know(tmp_path: Path) -> None:
    """Without the index, with a broken one, with one that is behind, and with a pack that is gone."""
    folder = tmp_path / "images"
    with ImageStore(folder) as store:
        first = store.add(png(1))
    (folder / "index.sqlite").rename(tmp_path / "behind")
    with ImageStore(folder) as store:
        second = store.add(png(2))
    whole = (folder / "index.sqlite").read_bytes()
    for index in (None, b"", b"no table", (tmp_path / "behind").read_bytes(), whole):
        if index is None:
            (folder / "index.sqlite").unlink()
        else:
            (folder / "index.sqlite").write_bytes(index)
        before = state_of(folder)
        with ImageStore(folder, read_only=True) as store:
            assert (store.read(first), store.read(second)) == (png(1), png(2))
            assert len(store) == 2
            assert "0" * 64 not in store
        assert state_of(folder) == before
    with ImageStore(folder, read_only=True) as store:
        store.packs[0].unlink()
        with ImageStore(folder, read_only=True) as other:
            kept = [sha256 for sha256 in (first, second) if sha256 in other]
        assert len(kept) == 1


def test_pictures_that_come_while_somebody_looks(tmp_path: Path) -> None:
    with ImageStore(tmp_path, read_only=True) as looking:
        assert len(looking) == 0
        with ImageStore(tmp_path) as store:
            sha256s = []
            for number in range(5):
                sha256s.append(store.add(png(number)))
                store.flush()
                assert looking.read(sha256s[-1]) == png(number)
                assert looking.info(sha256s[0]) == store.info(sha256s[0])
        assert [looking.read(sha256) for sha256 in sha256s] == list(map(png, range(5)))
        assert len(looking) == 5
        with pytest.raises(UserError, match="import its source again"):
            looking.read("0" * 64)
        with pytest.raises(ValueError, match="is read-only"):
            looking.add(png(9))


def test_a_workspace_whose_folder_of_images_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    dataset(store, "items", "item", [item(images=["0" * 64])])
    before = state_of(store.root)
    done = run_without_override("show", "items", "-w", store.root, cwd=tmp_path)
    assert done.returncode == 0
    assert "not in this workspace" in done.stdout
    assert state_of(store.root) == before
