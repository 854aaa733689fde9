"""Tokens as the trainer's processor counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rows import dataset, item, sample
from tests.tiny import tiny_vlm
from vlt.errors import UsageError, UserError
from vlt.filters.apply import make_filtered
from vlt.images.store import ImageStore
from vlt.workspace.store import Store


def test_tokens_are_those_of_the_processor(workspace: Path, tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image
    from transformers import AutoProcessor

    store, model = Store(workspace), tiny_vlm(tmp_path / "model")
    pictures = [Image.new("RGB", size, "red") for size in ((84, 56), (140, 84))]
    with ImageStore(store.images_folder) as images:
        names = []
        for picture in pictures:
            out = BytesIO()
            picture.save(out, "PNG")
            names.append(images.add(out.getvalue()))
    rows = [
        sample(
            "<think>Check red: red circle 1.</think> <answer>1</answer>", 0, item(images=names[:1])
        ),
        sample("<answer>1</answer>", 1, item(images=names)),
        sample("<answer>1</answer>", 2, item()),
    ]
    processor = AutoProcessor.from_pretrained(model)
    counts = []
    for row in rows:
        shown = [pictures[names.index(name)] for name in row["images"]]
        messages = [
            {
                "role": "user",
                "content": [
                    *({"type": "image"} for _ in shown),
                    {"type": "text", "text": "How many?"},
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": row["response"]}]},
        ]
        text = processor.apply_chat_template(messages, tokenize=False).removesuffix("\n")
        counts.append(len(processor(text=[text], images=shown or None)["input_ids"][0]))
    samples = dataset(store, "samples", "sample", rows)
    for limit in sorted(counts):
        for least in (limit - 1, limit):
            chain = [{"max_tokens": {"tokens": least, "model": str(model)}}]
            made, _ = make_filtered(store, samples, chain=chain)
            assert made.manifest.rows == sum(count <= least for count in counts)
    moved = model.rename(tmp_path / "moved")
    chain = [{"max_tokens": {"tokens": counts[0], "model": str(moved)}}]
    assert make_filtered(store, samples, chain=chain)[1], "a path is not identity"


def test_a_model_that_is_none_is_one_sentence(workspace: Path, tmp_path: Path) -> None:
    store = Store(workspace)
    samples = dataset(store, "samples", "sample", [sample("a")])
    with pytest.raises(UsageError, match="cannot be counted"):
        make_filtered(store, samples, chain=[{"max_tokens": 100}])
    with pytest.raises(UserError, match="no processor could be loaded from"):
        make_filtered(
            store, samples, chain=[{"max_tokens": {"tokens": 100, "model": str(tmp_path)}}]
        )
