"""What a checkpoint needs besides its weights."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tiny import tiny_text, tiny_vlm
from vlt.engine.loading import keep_video_settings, load_processor

VIDEO = "video_preprocessor_config.json"


def test_the_video_processors_settings_are_kept(tmp_path: Path) -> None:
    model = tiny_vlm(tmp_path / "vlm")
    saved = tmp_path / "saved"
    load_processor(str(model)).save_pretrained(saved)
    assert not (saved / VIDEO).exists()  # transformers has not read them
    keep_video_settings(str(model), None, saved)
    assert json.loads((saved / VIDEO).read_text())["patch_size"] == 14
    (saved / VIDEO).write_text("own")
    keep_video_settings(str(model), None, saved)
    assert (saved / VIDEO).read_text() == "own"


def test_a_text_model_has_none(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    keep_video_settings(str(tiny_text(tmp_path / "text")), None, saved)
    assert not list(saved.iterdir())
