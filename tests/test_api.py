"""The Python API: the stages as methods, the same versions as the command line makes, and what a
version shows of itself in a notebook and to other libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vlt
from tests.cli import vlt_json
from tests.pictures import png
from tests.rows import dataset, item, sample
from tests.stub import Stub


def questions(folder: Path, n: int = 6) -> Path:
    (folder / "img").mkdir(parents=True)
    rows = []
    for i in range(n):
        (folder / "img" / f"{i}.png").write_bytes(png(i))
        rows.append({"image": f"img/{i}.png", "question": f"[[{i}]]", "answer": "A"})
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_what_python_makes_the_command_line_finds_and_back(workspace: Path, tmp_path: Path) -> None:
    file = questions(tmp_path / "mine")
    with Stub() as stub, vlt.Workspace(workspace) as ws:
        items = ws.import_items(file)
        model = vlt.Model("m", base_url=stub.url)
        captions = ws.caption(items, model)
        samples = ws.reason(captions, model, k=2)
        sft = ws.filter(samples, ["verify", {"select": "shortest"}])
        at = ("-w", workspace)
        server = ("--model", "m", "--base-url", stub.url, *at)
        asked = stub.stats()["requests"]
        assert vlt_json("import", file, *at)["version"] == 1
        assert vlt_json("gen", "captions", *server)["existed"]
        assert vlt_json("gen", "reasoning", "-k", 2, *server)["existed"]
        vlt_json("filter", "--verify", "--select", "shortest", *at)
        assert ws.versions("sft") == [sft]
        more = vlt_json("gen", "reasoning", "-k", 3, *server)
        assert ws.reason(captions, model, k=3).manifest.version == more["version"]
        assert stub.stats()["requests"] == asked + 6, "one more sample of each caption"
        assert [v.ref for v in sft.lineage()] == ["sft@v1", "samples@v1", "captions@v1", "items@v1"]


def test_a_version_in_other_libraries(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    ws = vlt.Workspace(workspace)
    items = ws.import_items(questions(tmp_path / "mine"))
    assert len(items) == 6 and bool(items)
    hf = items.to_hf()
    assert (
        hf[0]["question"] == "[[0]]"
        and hf[0]["images"][0].size == items.image(next(items.rows())["images"][0]).size
    )
    assert items.to_pandas().question.tolist() == [f"[[{i}]]" for i in range(6)]
    assert items.to_arrow(["id"]).num_rows == 6
    counted = items.sql("select answer, count(*) as n from rows group by answer")
    assert counted.to_dict("records") == [{"answer": "A", "n": 6}]
    with pytest.raises(vlt.UserError, match="the table is called rows, and its columns are id"):
        items.sql("select nothing from rows")
    shown = items._repr_html_()
    assert shown.count('<img src="data:image/png;base64,') == 5
    assert "items@v1" in shown and "and 1 more row" in shown
    assert vlt.load(f"{workspace}/items@v1") == items


def test_a_function_filters_and_dropped_rows_say_why(workspace: Path) -> None:
    ws = vlt.Workspace(workspace)
    rows = [sample(text, of=item(text, "1")) for text in ("fine", "sorry, no", "fine again")]
    samples = dataset(ws, "samples", "sample", rows)

    @vlt.filter
    def no_apologies(row: dict[str, str]) -> bool | str:
        return "sorry" not in row["response"] or "apologises"

    kept = ws.filter(samples, [no_apologies])
    assert [row["response"] for row in kept.rows()] == ["fine", "fine again"]
    assert kept.dropped.to_pandas().reason.tolist() == ["apologises"]
    assert len(kept.dropped) == 1


def test_an_export_is_the_commands(workspace: Path, tmp_path: Path) -> None:
    ws = vlt.Workspace(workspace)
    items = ws.import_items(questions(tmp_path / "mine"))
    (file,) = ws.export(items, tmp_path / "out")
    by_command = vlt_json("export", "items", "--to", tmp_path / "again", "-w", workspace)
    assert file.read_bytes() == Path(by_command["files"][0]).read_bytes()
    with pytest.raises(vlt.UserError, match="'xml' is not a format; choose parquet"):
        ws.export(items, tmp_path / "no", "xml")
    from vlt.api.export import FORMATS
    from vlt.cli import export

    assert sorted(export.FORMATS.split()) == sorted(FORMATS)


def test_mistakes_are_one_sentence(workspace: Path) -> None:
    ws = vlt.Workspace(workspace)
    with pytest.raises(vlt.UserError, match="no dataset 'sft' in workspace"):
        ws.filter("sft", ["verify"])
    items = dataset(ws, "items", "item", [item("q")])
    with pytest.raises(vlt.UserError, match="'temprature' is not a setting of Asking; choose from"):
        ws.rollout(items, "m", temprature=1)
    with pytest.raises(vlt.UserError, match="no server is given for the model 'm'"):
        ws.rollout(items, "m")
    with pytest.raises(vlt.UserError, match="there is no workspace"):
        vlt.load("nowhere/sft@v1")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vlt.nothing  # noqa: B018


def test_the_grader_is_a_function_and_a_package() -> None:
    assert vlt.grade("<answer>2/4</answer>", "1/2").verdict == "correct"
    from vlt.grade import grade_many

    assert grade_many(["<answer>3</answer>"], ["4"])[0].verdict == "wrong"
    assert vlt.grade("<answer>3</answer>", "4").verdict == "wrong"


def test_importing_vlt_loads_nothing() -> None:
    program = (
        "import sys, time; start = time.process_time(); import vlt; "
        "print(time.process_time() - start, 'pyarrow' in sys.modules, 'torch' in sys.modules, "
        "sorted(set(vlt.__all__) - set(dir(vlt))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert re.search(r"False False \[\]$", done.stdout.strip()), done.stdout


@pytest.mark.slow
def test_the_script_of_the_docs(tmp_path: Path) -> None:
    """docs/notebooks/loop_from_python.py: from a JSONL to a checkpoint by the API, on real tiny models."""
    script = Path(__file__).parents[1] / "docs" / "notebooks" / "loop_from_python.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "home")],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    sft = vlt.load(f"{tmp_path}/home/workspace/sft@v1")
    assert 10 < len(sft) < 60
    assert {"verify", "select", "looks_twice"} <= set(sft.dropped.to_pandas()["filter"])
    assert "<img src" in sft._repr_html_()
    assert "sft-model@v1 <- sft@v1 <- samples@v1 <- captions@v1 <- items@v1" in done.stdout
