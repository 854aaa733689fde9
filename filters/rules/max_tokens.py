"""How many tokens will training see? Counted by the model's own processor, image tokens included."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa

from vlt.errors import UsageError, UserError
from vlt.fields import Option
from vlt.filters.protocol import NEVER, Judgement, Once, with_found
from vlt.images.store import ImageStore
from vlt.prompts import Prompt, render
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

READS = ("question", "choices", "caption", "images", "response")


@dataclass(frozen=True)
class MaxTokens:
    """Takes out samples whose prompt, images and response are more than `tokens` tokens."""

    name: ClassVar[str] = "max_tokens"
    columns: ClassVar[tuple[str, ...]] = READS
    threads: ClassVar[bool] = False

    tokens: Annotated[int, Option("--max-tokens", metavar="N")]
    """Most tokens of prompt, images and response, by --model."""
    model: Annotated[str, Option("--model", metavar="M")] = ""
    """With --max-tokens: directory or name of the model that will be trained."""
    prompt: str = "{question}"
    """The user's text in training; slots as in vlt/prompts.py."""
    max_pixels: int | None = None
    """Largest image in training, in pixels (paper: 262144); None is the processor's own."""
    counter: Once[Counter] = field(default=NEVER, init=False, repr=False, compare=False)
    """Made by `prepared`."""

    def __post_init__(self) -> None:
        if not self.model or self.tokens < 1:
            raise UsageError(
                f"max_tokens: {self.tokens} tokens by the model {self.model!r} cannot be counted; write "
                "tokens: 2048 and model: the one that will be trained"
            )

    def identity(self) -> dict[str, str]:
        """A directory is known by its configuration and tokenizer, not by where it lies."""
        folder = Path(self.model)
        if not folder.is_dir():
            return {}
        digest = hashlib.sha256()
        for file in sorted(folder.glob("*")):
            if file.suffix in (".json", ".jinja", ".model", ".txt"):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return {"model": digest.hexdigest()}

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> MaxTokens:  # noqa: ARG002
        """With the model's processor, loaded when the first row comes."""
        return with_found(self, counter=Once(lambda: Counter(self, workspace)))

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason says how many they are."""
        counts = self.counter().count(rows.select(list(READS)).to_pylist())
        keep = counts <= self.tokens
        return Judgement(
            keep, [Reason(f"over {self.tokens} tokens", str(n)) for n in counts[~keep]]
        )


class Counter:
    """Counts as the processor does; an image's tokens hang on its size only and are asked for once."""

    def __init__(self, filter: MaxTokens, workspace: Workspace):
        from transformers import AutoProcessor

        try:
            self._processor = AutoProcessor.from_pretrained(filter.model)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no processor could be loaded from {filter.model!r} "
                f"({' '.join(str(error).split())[:200]}); name the model that will be trained"
            ) from error
        self._prompt, self._pixels = Prompt(filter.prompt), filter.max_pixels
        self._images = ImageStore(workspace.images_folder, read_only=True)
        self._sizes: dict[tuple[int, int], int] = {}

    def count(self, rows: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """[n] tokens of prompt, images and response."""
        tokenizer = getattr(self._processor, "tokenizer", self._processor)
        texts = [self._text(row) for row in rows]
        ids = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        images = [sum(self._image(name) - 1 for name in row["images"]) for row in rows]
        return np.array([len(i) for i in ids], np.int64) + np.array(images, np.int64)

    def _text(self, row: dict[str, Any]) -> str:
        messages = render(self._prompt, row, images=True)
        blocks = messages[-1]["content"]
        if isinstance(blocks, str):
            blocks = [{"type": "text", "text": blocks}]
        plain = [{"type": "image"} if b["type"] == "image" else b for b in blocks]
        said = {"role": "assistant", "content": [{"type": "text", "text": row["response"] or ""}]}
        asked = [*messages[:-1], {"role": "user", "content": plain}, said]
        text: str = self._processor.apply_chat_template(asked, tokenize=False)
        return text

    def _image(self, name: str) -> int:
        from PIL import Image

        info = self._images.info(name)
        size = (info.width, info.height)
        if self._pixels and size[0] * size[1] > self._pixels:
            scale = (self._pixels / (size[0] * size[1])) ** 0.5
            size = (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))
        if size not in self._sizes:
            seen = self._processor(
                text=[self._processor.image_token], images=[Image.new("RGB", size)]
            )
            self._sizes[size] = len(seen["input_ids"][0])
        return self._sizes[size]
