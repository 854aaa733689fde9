"""Do a training's rows show what generation shows? A few rows are checked before the first step.

The parent records what generation would ask for some rows, directly from the dataset and the image
store, bypassing the export. The child encodes that and its own rows of the same items, and compares the
tokens and pixels: an export that lost its images or mixed them up, or a processor that encodes every picture
the same, would train a model that does not need to look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlt.engine.chat import messages_for, prompt_text, sees
from vlt.errors import UserError
from vlt.images.pixels import Pixels, fitted
from vlt.prompts import CannotAsk, Prompt, render
from vlt.train.turns import Turns, encode, pictures
from vlt.workspace.store import Dataset

FILE = "as-asked.parquet"
"""In the build folder."""
ROWS = 8
APART = 0.1
"""Pixel values that reach a model lie roughly in [-2, 2], [-1, 1] or [0, 1]; rescaled by 1/255 twice by
mistake, a black picture and a white one differ by only 0.015."""
ASKED = pa.schema(
    [("id", pa.string()), ("messages", pa.string()), ("images", pa.list_(pa.binary()))]
)
READS = ("id", "question", "choices", "caption", "images", "choice_order")


def write_asked(
    dataset: Dataset,
    to: Path,
    *,
    prompt: Prompt,
    load_image: Callable[[str], bytes],
    pixels: Pixels | None = None,
    rows: pa.Table | None = None,
) -> None:
    """Write what generation asks for up to ROWS evenly spaced rows with images; see write_trl."""
    source: pa.Table | Dataset = dataset if rows is None else rows
    names = prompt.reads([n for n in READS if n in source.schema.names], source.schema.names)
    total = dataset.manifest.rows if rows is None else rows.num_rows
    step = max(1, total // ROWS)
    asked: list[dict[str, Any]] = []
    batches = dataset.batches(names) if rows is None else rows.select(names).to_batches()
    wanted = at = 0  # the next row to check, and the batch's first row
    for batch in batches:
        while wanted < at + batch.num_rows and len(asked) < ROWS:
            row = batch.slice(wanted - at, 1).to_pylist()[0]
            one = _asked(row, prompt, load_image, pixels) if row["images"] else None
            asked += [one] if one else []
            wanted += step if one else 1
        at += batch.num_rows
    pq.write_table(pa.Table.from_pylist(asked, ASKED), to)


def _asked(
    row: dict[str, Any],
    prompt: Prompt,
    load_image: Callable[[str], bytes],
    pixels: Pixels | None,
) -> dict[str, Any] | None:
    """None for a row that the export leaves out."""
    try:
        messages = render(prompt, row, images=True)
        images = [load_image(sha) for sha in row["images"]]
        shown = [fitted(data, pixels) for data in images] if pixels else images
    except (CannotAsk, OSError, ValueError, SyntaxError):
        return None
    return {"id": row["id"], "messages": json.dumps(messages), "images": shown}


def check_shown(turns: Turns, rows: Any, file: Path) -> None:
    """Raises UserError if rows (a `datasets.Dataset`) differ from what generation shows.

    Rows that were left out are not checked, and neither are exports without ids.
    """
    if not sees(turns.processor) or "id" not in rows.column_names:
        return
    places: dict[str, list[int]] = {}
    for place, id in enumerate(rows["id"]):
        places.setdefault(id, []).append(place)
    for asked in pq.read_table(file).to_pylist():
        if asked["id"] in places:
            _check(turns, asked, [rows[place] for place in places[asked["id"]]])


def _check(turns: Turns, asked: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    from vlt.images.decode import open_image

    name = f"row {asked['id']!r} of the training"
    images = [open_image(data) for data in asked["images"]]
    text = prompt_text(
        turns.processor, messages_for(turns.processor, json.loads(asked["messages"]))
    )
    shown = encode(turns.processor, [text], [images])
    # An item may have several rows, each with a prompt of its own.
    row = next((row for row in rows if turns.prompt(row) == text), rows[0])
    if len(pictures(row)) != len(images):
        raise UserError(
            f"{name} shows {len(pictures(row))} images but generation shows {len(images)}, so the "
            "model would learn to answer without looking; the export lost them, which is a bug in vlt: "
            "report it"
        )
    seen = turns.asked([row])
    tokens, wanted = (_image_tokens(turns, fields) for fields in (seen, shown))
    if tokens != wanted:
        raise UserError(
            f"{name} has {tokens} image tokens but generation shows the model {wanted}; give the "
            "training the same --pixels as generation"
        )
    if not _equal(seen["input_ids"], shown["input_ids"]):
        raise UserError(
            f"{name} has a different prompt from generation; give the training the same --prompt as "
            "generation"
        )
    differ = [n for n in shown if not _equal(seen.get(n), shown[n])]
    if differ:
        raise UserError(
            f"{name} shows the model other pixels than generation ({', '.join(differ)}): the "
            "images are not those of the row, which is a bug in vlt: report it"
        )
    _check_contrast(turns.processor, text, [image.size for image in images])


def check_processor(processor: Any) -> None:
    """Raises UserError if a model's processor encodes any two pictures nearly the same."""
    if sees(processor):
        asked = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
        messages = messages_for(processor, [{"role": "user", "content": asked}])
        _check_contrast(processor, prompt_text(processor, messages), [(224, 224)])


def _check_contrast(processor: Any, text: str, sizes: Sequence[tuple[int, int]]) -> None:
    """A black picture and a white one, as different as two can be, must be encoded differently."""
    from PIL import Image

    black, white = (
        encode(processor, [text], [[Image.new("RGB", size, colour) for size in sizes]])
        for colour in ("black", "white")
    )
    apart = max((_apart(value, white.get(name)) for name, value in black.items()), default=0.0)
    if apart < APART:
        raise UserError(
            f"the model's processor encodes a black picture and a white one nearly the same (they differ by "
            f"{apart:.2g}, but should by 1 or more), so no picture reaches the model; see rescale_factor, "
            "image_mean and image_std in its preprocessor_config.json or processor_config.json"
        )


def _apart(one: Any, other: Any) -> float:
    """The maximum difference of two tensors of one shape, or of two lists of them; otherwise 0."""
    import torch

    if torch.is_tensor(one) and torch.is_tensor(other) and one.shape == other.shape:
        return float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return max(map(_apart, one, other), default=0.0)
    return 0.0


def _image_tokens(turns: Turns, fields: Mapping[str, Any]) -> int:
    import torch

    never = torch.tensor(list(turns.never), dtype=fields["input_ids"].dtype)
    return int(torch.isin(fields["input_ids"], never).sum())


def _equal(one: Any, other: Any) -> bool:
    import torch

    if torch.is_tensor(one) and torch.is_tensor(other):
        return one.shape == other.shape and bool(torch.allclose(one.double(), other.double()))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
