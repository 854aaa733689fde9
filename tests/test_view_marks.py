"""Marks on rows in vlt view: stored as a table, and used by a filter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.cli import vlt, vlt_error, vlt_json
from tests.viewed import cards, fill, grid, sentence, serving, zebra
from vlt.workspace.flags import Flag, Flags
from vlt.workspace.store import Store


def test_marks_are_kept_and_filtered_by(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    fill(workspace)
    with serving(workspace) as site:
        wanted, token = zebra(site), site.token
        fields = {
            **{"token": token, "dataset": "samples@v1", "id": wanted, "sample": "0"},
            **{"model": "tiny-model", "mark": "flag", "note": "a <b>zebra</b>\n it's not"},
            "back": "?sample=0&at=58",
        }
        kept = site.post("/mark", fields)
        assert kept.status == 303
        assert kept.headers["location"] == f"/d/samples%40v1/row/{wanted}?sample=0&at=58"
        page = site.get(kept.headers["location"]).text
        assert "flagged" in page and 'value="a &lt;b&gt;zebra&lt;/b&gt; it&#39;s not"' in page
        assert "a &lt;b&gt;zebra&lt;/b&gt;" in site.get("/flags").text
        assert "flagged" in grid(site, q="zebra").text
        first = next(c for c in cards(grid(site)) if wanted not in c)
        other = re.findall(r"/row/([0-9a-f]+)", first)[0]
        # A whole item is flagged where items are looked at; accepting one response outweighs it.
        whole = fields | {"dataset": "items@v1", "id": other, "sample": "", "model": "", "note": ""}
        assert site.post("/mark", whole).status == 303
        assert grid(site, where=f"id = '{other}'").text.count("flagged</span>") == 2
        one = whole | {"dataset": "samples@v1", "sample": "1", "model": "tiny-model"}
        assert site.post("/mark", one | {"mark": "accept"}).status == 303
        assert site.post("/mark", one | {"sample": "0", "mark": "accept"}).status == 303
        assert site.post("/mark", one | {"sample": "0", "mark": "none"}).status == 303
    marks = {(f.id, f.sample, f.mark, f.note) for f in Flags(workspace).all()}
    assert marks == {
        (wanted, 0, "flag", "a <b>zebra</b> it's not"),
        (other, None, "flag", ""),
        (other, 1, "accept", ""),
    }
    vlt("filter", "samples", "--drop-flagged", "--as", "clean", "-w", workspace)
    gone = vlt_json("show", "clean", "--dropped", "-n", "9", "-w", workspace)
    assert sorted((r["id"], r["sample"], r["filter"], r["reason"]) for r in gone) == sorted(
        [
            (wanted, 0, "flagged", "flagged: a <b>zebra</b> it's not"),
            (other, 0, "flagged", "flagged"),
        ]
    )
    manifest = Store(workspace).open("clean").manifest
    assert manifest.rows == 58 and manifest.dropped == {"flagged": {"flagged": 2}}
    # The same marks make the same version; another mark makes another.
    vlt("filter", "samples", "--drop-flagged", "--as", "clean", "-w", workspace)
    assert len(Store(workspace).versions("clean")) == 1
    Flags(workspace).put(Flag(wanted, 1, "tiny-model", "flag"))
    vlt("filter", "samples", "--drop-flagged", "--as", "clean", "-w", workspace)
    assert Store(workspace).open("clean").manifest.rows == 57


def test_a_file_that_is_no_table_of_marks(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    fill(workspace)
    (workspace / "flags.parquet").write_text("no table")
    with serving(workspace) as site:
        assert "is not a table of flags" in sentence(site.get("/flags"))
    said = vlt_error("filter", "samples", "--drop-flagged", "-w", workspace)
    assert "is not a table of flags" in said


def test_the_table_of_marks_reads_as_any_parquet(tmp_path: Path) -> None:
    flags = Flags(tmp_path)
    flags.put(Flag("a", None, None, "flag", "why"))
    flags.put(Flag("a", 1, "m", "accept"))
    flags.put(Flag("a", 1, "m", "flag"))
    flags.remove(("b", None, None))
    table = pq.read_table(tmp_path / "flags.parquet")
    assert table.select(["id", "sample", "mark", "note"]).to_pylist() == [
        {"id": "a", "sample": None, "mark": "flag", "note": "why"},
        {"id": "a", "sample": 1, "mark": "flag", "note": ""},
    ]


def test_two_writers_of_marks_lose_none(tmp_path: Path) -> None:
    program = (
        "import sys; from vlt.workspace.flags import Flag, Flags; who = sys.argv[2]\n"
        "for n in range(15): Flags(sys.argv[1]).put(Flag(f'{who}{n}', None, None, 'flag'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    writers = [subprocess.Popen([*command, who]) for who in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len({flag.id for flag in Flags(tmp_path).all()}) == 30
