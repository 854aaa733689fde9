"""The model's processor or tokenizer in a training, and the rows prepared for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vlt.engine.chat import placeholder_texts, sees, tokenizer_of
from vlt.errors import UserError
from vlt.images.pixels import Pixels
from vlt.train.turns import encode, pictures, row_prompt, said

if TYPE_CHECKING:
    from vlt.train.child import Job


def load_training_processor(job: Job, **kwargs: Any) -> Any:
    """The model's processor, which resizes images to the job's range of pixels.

    If the export has resized them already (for vLLM inside TRL), it must not resize them again: with
    minimum and maximum close together, the size rule is not idempotent.
    """
    from vlt.engine.loading import load_processor
    from vlt.engine.size_rule import set_range

    processor = load_processor(job.model, job.revision, **kwargs)
    if job.pixels and sees(processor):
        pixels = Pixels(1, 4 * job.pixels["max"]) if job.sized else Pixels(**job.pixels)
        set_range(processor, pixels)
    return processor


def keep_range(job: Job, processor: Any) -> None:
    """Set the range used in training in the processor that is saved with the checkpoint."""
    from vlt.engine.size_rule import set_range

    if job.pixels and sees(processor):
        set_range(processor, Pixels(**job.pixels))


def load_rows(
    job: Job, processor: Any, completions: Sequence[str] = ()
) -> tuple[Any, Counter[str]]:
    """The exported rows, and how many were left out for which reason.

    Left out are prompts longer than the job allows, and texts that contain the model's image
    placeholder. `completions` are the columns that the model learns to write. The Arrow file that `datasets`
    makes of the rows stays in the build folder.
    """
    from datasets import Dataset

    rows = Dataset.from_parquet(job.data, cache_dir=str(job.path / "cache"))
    if "images" in rows.column_names and not sees(processor):
        raise UserError(
            f"the rows have images and {job.model!r} is a text model; train one that sees images"
        )
    left_out: Counter[str] = Counter()
    marks = placeholder_texts(processor)

    def keep(why: str, test: Any, columns: list[str] | None = None) -> None:
        nonlocal rows
        before = len(rows)
        rows = rows.filter(test, input_columns=columns)
        left_out[why] += before - len(rows)

    if marks:
        keep(
            "its text holds what stands for an image to the model",
            lambda prompt: not any(mark in _text(prompt) for mark in marks),
            ["prompt"],
        )
    for name in completions if marks else ():
        keep(
            "its response holds what stands for an image to the model",
            lambda completion: _can_be_written(processor, said(completion), marks),
            [name],
        )
    if job.max_prompt_tokens:
        most = job.max_prompt_tokens
        keep("prompt too long", lambda row: prompt_tokens(processor, row) <= most)
    if not len(rows):
        why = f"every prompt has more than {job.max_prompt_tokens} tokens"
        if left_out and left_out.most_common(1)[0][0] != "prompt too long":
            why = left_out.most_common(1)[0][0]
        raise UserError(f"no row is left to train on: {why}")
    return rows, +left_out


def prompt_tokens(processor: Any, row: dict[str, Any]) -> int:
    """Tokens of a row's prompt, image tokens included, as the model's processor makes them."""
    fields = encode(processor, [row_prompt(processor, row)], [pictures(row)])
    return int(fields["input_ids"].shape[1])


def _text(messages: Sequence[dict[str, Any]]) -> str:
    return "\n".join(said([message]) for message in messages)


def _can_be_written(processor: Any, text: str, marks: Sequence[str]) -> bool:
    """Whether a response, which may mention the image placeholder, can be encoded without its token."""
    from vlt.engine.chat import response_tokens

    if not any(mark in text for mark in marks):
        return True
    tokenizer = tokenizer_of(processor)
    return (
        response_tokens(tokenizer, text, tokenizer.convert_tokens_to_ids(list(marks))) is not None
    )
