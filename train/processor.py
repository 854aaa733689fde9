"""The model's processor or tokenizer in a training, and the rows as it reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlt.errors import UserError

if TYPE_CHECKING:
    from vlt.train.child import Job


def load_reader(job: Job, **kwargs: Any) -> Any:
    """The model's processor, which leaves the rows' images as the export has sized them.

    With its own limits it might size them again: the rule does not give the same size twice where
    least and most pixels are close.
    """
    from vlt.engine.loading import load_processor

    processor = load_processor(job.model, job.revision, **kwargs)
    if job.pixels:
        set_pixels(processor, 1, 4 * max(job.pixels["max"], job.pixels["min"]))
    return processor


def set_pixels(processor: Any, least: int, most: int) -> None:
    """Set the range of an image's pixels where the processor has one."""
    images = getattr(processor, "image_processor", None)
    size = getattr(images, "size", None)
    if images is None or not size or "longest_edge" not in size:
        return
    edges = {"shortest_edge": least, "longest_edge": most}
    images.size = edges if isinstance(size, dict) else type(size)(**edges)
    if hasattr(images, "min_pixels"):
        images.min_pixels, images.max_pixels = least, most


def load_rows(job: Job, reader: Any) -> tuple[Any, int]:
    """The exported rows, and how many were left out for prompts longer than the job allows.

    The Arrow file that `datasets` makes of them stays in the build folder.
    """
    from datasets import Dataset

    every = rows = Dataset.from_parquet(job.data, cache_dir=str(job.path / "cache"))
    if job.max_prompt_tokens:
        most = job.max_prompt_tokens
        rows = every.filter(lambda row: prompt_tokens(reader, row) <= most)
    if not len(rows):
        raise UserError(
            f"no row is left to train on: every prompt has more than {job.max_prompt_tokens} tokens"
        )
    return rows, len(every) - len(rows)


def prompt_tokens(reader: Any, row: dict[str, Any]) -> int:
    """Tokens of a row's prompt, image tokens included, as the model's processor makes them."""
    from trl.data_utils import prepare_multimodal_messages

    images = row.get("images") or None
    if not hasattr(reader, "tokenizer"):
        text = reader.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        return len(reader(text, add_special_tokens=False)["input_ids"])
    messages = prepare_multimodal_messages(row["prompt"], images=images)
    text = reader.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    found = reader(images=images, text=[text], add_special_tokens=False)["input_ids"]
    return len(found[0])
