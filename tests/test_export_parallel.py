"""The same files, byte for byte, however many processes wrote the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pools import at_once
from tests.rows import dataset, item, sample
from tests.test_filters_parallel import count_questions
from tests.test_near_images import chart, encoded
from vlt.api.export import FORMATS, export
from vlt.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Samples about pictures, with and without choices, and one that no trainer can take."""
    workspace = Workspace(tmp_path_factory.mktemp("export") / "workspace")
    with workspace.images as images:
        pictures = [images.add(encoded(chart([n, 95 - n, 50]))) for n in range(10, 80, 5)]
    rows = []
    for n in range(120):
        choices = ["1", "2", "3"] if n % 2 else []
        shown = [pictures[n % 14]] * (1 + (n % 5 == 0))
        of = item(f"How many, {n}?", str(n % 3 + 1), choices=choices, images=shown)
        said = "" if n == 17 else f"<think>{n}</think> <answer>2</answer>"
        rows += [sample(said, k, of) for k in range(2)]
    dataset(workspace, "samples", "sample", rows)
    return workspace


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_files(
    format: str, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch)
    for name in (
        "vlt.datagen.export.work.ROWS",
        "vlt.datagen.export.evaluators.ROWS_AT_ONCE",
        "vlt.datagen.export.files.GROUP_ROWS",
        "vlt.train.trl_rows.ROWS_A_GROUP",
    ):
        monkeypatch.setattr(name, 10)
    asked = count_questions(monkeypatch)
    found = []
    for processes in (1, 3):
        monkeypatch.setenv("VLT_PROCESSES", str(processes))
        to = tmp_path / "to"
        made = export(workspace, workspace.open("samples"), to, format)
        files = {
            str(file.relative_to(to)): file.read_bytes()
            for file in sorted(to.rglob("*"))
            if file.is_file()
        }
        to.rename(tmp_path / f"to-{processes}")
        found.append((files, dict(made.left_out)))
        assert (len(asked) > 2) == (processes > 1)
    assert found[0] == found[1]
    assert found[0][0]


def test_the_rows_of_a_training(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training opens the images for writing, and such a store cannot be sent to other processes."""
    from tests.tiny import PROMPT, tiny_vlm
    from vlt.train import training
    from vlt.train.method import find_method

    class Exported(Exception):
        """The training is not what this is about."""

    def stop(*_: object, **__: object) -> None:
        raise Exported

    monkeypatch.setattr(training, "launch", stop)
    at_once(monkeypatch)
    monkeypatch.setattr("vlt.train.trl_rows.ROWS_A_GROUP", 10)
    monkeypatch.setenv("VLT_PROCESSES", "3")
    asked = count_questions(monkeypatch)
    given = find_method("sft").training(prompt=PROMPT)
    model, samples = str(tiny_vlm(tmp_path / "model")), workspace.open("samples")
    with pytest.raises(Exported):
        training.train(workspace, "sft", samples, model, given, name="trained")
    assert len(asked) > 2
