"""Random tiny models and synthetic data, for the tests of training and of the local engine."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vlt.images.store import ImageStore
from vlt.prompts import Prompt
from vlt.workspace.manifest import Stage
from vlt.workspace.schema import item_id
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer

PROMPT = Prompt("{question} Think first.")
COLOURS = {"red": (220, 40, 40), "blue": (40, 40, 220), "green": (40, 160, 40)}


@functools.cache
def tiny_tokenizer() -> Any:
    """The miniature's tokenizer."""
    from vlt.datagen.miniature.tiny_models import make_tokenizer

    return make_tokenizer()


def tiny_vlm(folder: Path, seed: int = 0) -> Path:
    """A Qwen2.5-VL with random weights, as one folder."""
    import torch

    from vlt.datagen.miniature.tiny_models import make_processor, make_vlm, save

    torch.manual_seed(seed)
    save(make_vlm(tiny_tokenizer()), make_processor(tiny_tokenizer()), folder)
    return folder


def tiny_text(folder: Path, seed: int = 0) -> Path:
    """A Qwen3 with random weights, as one folder."""
    import torch

    from vlt.datagen.miniature.tiny_models import make_reasoner, save

    torch.manual_seed(seed)
    save(make_reasoner(tiny_tokenizer()), tiny_tokenizer(), folder)
    return folder


def shrunken_vlm(
    folder: Path, text: Mapping[str, Any], vision: Mapping[str, Any], *, tie_word_embeddings: bool
) -> Path:
    """A Qwen2.5-VL of these configurations, with the tiny models' tokenizer and processor."""
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from vlt.datagen.miniature.tiny_models import make_processor, save

    tokenizer = tiny_tokenizer()
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={**text, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id},
        vision_config=vision,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=tie_word_embeddings,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    save(model, make_processor(tokenizer), folder)
    return folder


def png(colour: tuple[int, int, int], size: tuple[int, int] = (84, 56)) -> bytes:
    """An image of one colour."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def item_rows(
    store: Store,
    n: int,
    *,
    images: bool = True,
    seed: int = 0,
    pictures: Sequence[bytes] | None = None,
) -> list[dict[str, Any]]:
    """Questions about the colour of a picture, with every column of an item.

    The pictures are of one colour, 84, 112 or 140 x 56 pixels, unless they are given.
    """
    rng, rows = random.Random(seed), []
    with ImageStore(store.images_folder) as kept:
        for i in range(n):
            name = rng.choice(list(COLOURS))
            drawn = pictures[i] if pictures else png(COLOURS[name], (84 + 28 * (i % 3), 56))
            shas = [kept.add(drawn)] if images else []
            question = f"What colour is picture {i}?"
            rows.append(
                {
                    "id": item_id("tiny", question, [], name, shas),
                    "source": "tiny",
                    "question": question,
                    "choices": [],
                    "answer": name,
                    "answer_type": "text",
                    "images": shas,
                    "meta": "{}",
                }
            )
    return rows


def items(store: Store, n: int = 16, *, name: str = "items", **more: Any) -> Dataset:
    """A dataset of `n` items; `more` as for item_rows."""
    return _write(store, "item", name, item_rows(store, n, **more))


def samples(
    store: Store, n: int = 16, *, name: str = "samples", words: str = "red blue", **more: Any
) -> Dataset:
    """A dataset of one verified sample for each of `n` items; `words` is what it thinks."""
    rows = [
        {
            **row,
            "sample": 0,
            "response": f"<think>{words} {row['answer']}.</think> <answer>{row['answer']}</answer>",
            "finish_reason": "stop",
            "verdict": "correct",
        }
        for row in item_rows(store, n, **more)
    ]
    return _write(store, "sample", name, rows)


def trained(
    method: str,
    store: Store,
    data: Dataset,
    model: Any,
    *,
    name: str | None = None,
    round: int | None = None,
    **settings: Any,
) -> tuple[Dataset, bool]:
    """A training with PROMPT and these fields of the method's settings, and whether it was there."""
    from vlt.train.method import find_method
    from vlt.train.training import train
    from vlt.workspace.workspace import Workspace

    training = find_method(method).training(**{"prompt": PROMPT, **settings})
    with Workspace(store.root) as workspace:
        return train(workspace, method, data, model, training, name=name, round=round)


def _write(store: Store, kind: str, name: str, rows: list[dict[str, Any]]) -> Dataset:
    from vlt.workspace.schema import KINDS

    table = pa.Table.from_pylist(rows, KINDS[kind])
    with Writer(store, Stage("test", {"rows": len(rows)}), name, kind) as writer:
        writer.expect(table)
        writer.keep(table)
    return writer.dataset
