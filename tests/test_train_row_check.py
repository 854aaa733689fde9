"""Faults planted in a training's rows, each of which must stop it before the first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.tiny import PROMPT, items, png, samples, tiny_vlm, trained
from vlt.errors import UserError
from vlt.train import trl_rows
from vlt.train.child import Job
from vlt.train.method import find_method
from vlt.train.processor import load_rows, load_training_processor
from vlt.train.row_check import check_shown, write_asked
from vlt.train.turns import Turns
from vlt.workspace.workspace import Workspace

PICTURES = [png((10 * i, 255 - 10 * i, 99)) for i in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlm(tmp_path_factory.mktemp("row-check") / "vlm")


def looked_at(workspace: Path, method: str, model: Path) -> None:
    """What a training does before its first step: the export, and the child's check of its rows."""
    from transformers import AutoModelForImageTextToText

    folder, by = workspace / "build", find_method(method)
    folder.mkdir(parents=True)
    with Workspace(workspace) as opened:
        make = samples if method == "sft" else items
        data = make(opened, 12, pictures=PICTURES)
        shown: dict[str, Any] = {"prompt": PROMPT, "load_image": opened.images.read}
        write_asked(data, folder / "asked", **shown)
        trl_rows.write_trl(data, folder / "rows", by, **shown)
    job = Job(method, str(model), None, str(folder / "rows"), {}, [], None, folder=str(folder))
    reader = load_training_processor(job, **by.processor)
    rows, _ = load_rows(job, reader, by.completions)
    turns = Turns.of(reader, AutoModelForImageTextToText.from_pretrained(model))
    check_shown(turns, rows, folder / "asked")


def stopped(workspace: Path, method: str, model: Path) -> str:
    """The sentence that a training ends with."""
    with pytest.raises(UserError) as raised:
        looked_at(workspace, method, model)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def plant(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    """A fault in the export: a function of a row's images and those of the row before it."""
    honest, before = trl_rows._Examples._example, [None]

    def planted(self: Any, row: Any) -> Any:
        made = honest(self, row)
        own = made["images"]
        made["images"] = fault(own, before[0] or own)
        before[0] = own
        return made

    monkeypatch.setattr(trl_rows._Examples, "_example", planted)


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_sound_rows_pass(workspace: Path, model: Path, method: str) -> None:
    looked_at(workspace, method, model)


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_images_dropped_in_the_export(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    plant(monkeypatch, lambda _own, _before: [])
    sentence = stopped(workspace, method, model)
    assert "shows 0 images but generation shows 1" in sentence


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_images_swapped_between_rows(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    plant(monkeypatch, lambda _own, before: before)
    sentence = stopped(workspace, method, model)
    assert "shows the model other pixels than generation" in sentence


def test_images_of_another_size(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = [{"bytes": png((0, 0, 0), (280, 280)), "path": None}]
    plant(monkeypatch, lambda _own, _before: large)
    assert "image tokens but generation shows the model" in stopped(workspace, "sft", model)


@pytest.mark.parametrize(
    "blank", [{"rescale_factor": 255**-2}, {"image_std": [1e9] * 3}, {"rescale_factor": 1e-9}]
)
def test_a_processor_that_blanks_them(
    workspace: Path, model: Path, tmp_path: Path, blank: dict[str, Any]
) -> None:
    blanks = tmp_path / "blanks"
    shutil.copytree(model, blanks)
    file = blanks / "processor_config.json"
    config = json.loads(file.read_text())
    config["image_processor"].update(blank)
    file.write_text(json.dumps(config))
    sentence = stopped(workspace, "sft", blanks)
    assert "encodes a black picture and a white one nearly the same" in sentence


def test_a_text_that_is_asked_otherwise(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = trl_rows.render

    def planted(prompt: Any, row: Any, **more: Any) -> Any:
        return honest(prompt, {**row, "question": "What colour is it?"}, **more)

    monkeypatch.setattr(trl_rows, "render", planted)
    assert "has a different prompt from generation" in stopped(workspace, "sft", model)


@pytest.mark.slow
def test_the_training_itself_stops(
    workspace: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda _own, before: before)
    with Workspace(workspace) as opened:
        data = samples(opened, 12, pictures=PICTURES)
        with pytest.raises(UserError, match="other pixels than generation"):
            trained("sft", opened, data, str(model), settings={"max_steps": 1})
        assert not [v for v in opened.all() if v.kind == "checkpoint"]


def test_rows_are_looked_at_evenly(workspace: Path, tmp_path: Path) -> None:
    """Across all rows, not just the first; those without an image are skipped."""
    with Workspace(workspace) as opened:
        data = items(opened, 100, pictures=[png((i, i, 0)) for i in range(100)])
        order = [row["id"] for row in data.rows()]
        write_asked(data, tmp_path / "asked", prompt=PROMPT, load_image=opened.images.read)
        places = [order.index(i) for i in pq.read_table(tmp_path / "asked")["id"].to_pylist()]
        assert places == list(range(0, 96, 12))
        bare = items(opened, 5, name="bare", images=False)
        write_asked(bare, tmp_path / "none", prompt=PROMPT, load_image=opened.images.read)
        assert not pq.read_table(tmp_path / "none").num_rows
