"""How many tokens will training see? Counted with the model's own processor, image tokens included."""

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
from vlt.images.pixels import Pixels
from vlt.images.store import ImageStore
from vlt.prompts import Prompt, render
from vlt.workspace.reason import Reason
from vlt.workspace.store import Dataset
from vlt.workspace.workspace import Workspace

READS = ("question", "choices", "caption", "images", "response")


@dataclass(frozen=True)
class MaxTokens:
    """Drops samples whose prompt, images and response exceed `tokens` tokens."""

    name: ClassVar[str] = "max_tokens"
    columns: ClassVar[tuple[str, ...]] = READS

    tokens: Annotated[int, Option("--max-tokens", metavar="N")]
    """Maximum tokens of prompt, images and response, counted for --model."""
    model: Annotated[str, Option("--model", metavar="M")] = ""
    """With --max-tokens: directory or name of the model that will be trained."""
    prompt: str = "{question}"
    """The user prompt in training; slots as in vlt/prompts.py."""
    max_pixels: int | None = None
    """Maximum image size in training, in pixels (paper: 262144); None is the processor's own."""
    counter: Once[Counter] = field(default=NEVER, init=False, repr=False, compare=False)
    """Made by `prepared`."""

    def __post_init__(self) -> None:
        if not self.model or self.tokens < 1:
            raise UsageError(
                f"max_tokens: {self.tokens} tokens for the model {self.model!r} cannot be counted; write "
                "tokens: 2048 and model: the one that will be trained"
            )

    def identity(self) -> dict[str, str]:
        """A directory is identified by its configuration and tokenizer, not by its path."""
        folder = Path(self.model)
        if not folder.is_dir():
            return {}
        digest = hashlib.sha256()
        for file in sorted(folder.glob("*")):
            if file.suffix in (".json", ".jinja", ".model", ".txt"):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return {"model": digest.hexdigest()}

    def prepared(self, workspace: Workspace, parents: Sequence[Dataset]) -> MaxTokens:  # noqa: ARG002
        """With the model's processor, loaded at the first row."""
        return with_found(self, counter=Once(lambda: Counter(self, workspace.images_folder)))

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """The reason gives the number of tokens."""
        counts = self.counter().count(rows.select(list(READS)).to_pylist())
        keep = counts <= self.tokens
        return Judgement(
            keep, [Reason(f"over {self.tokens} tokens", str(n)) for n in counts[~keep]]
        )


class Counter:
    """Counts what training reads: the prompt with its chat template, the response, a token that ends it.

    What images add depends only on their sizes, and the processor is called once for each combination.
    """

    def __init__(self, filter: MaxTokens, images: Path):
        from vlt.engine.chat import sees, tokenizer_of
        from vlt.engine.loading import load_processor
        from vlt.engine.size_rule import set_range

        try:
            self._processor = load_processor(filter.model)
        except UserError as error:
            raise UserError(
                f"no processor could be loaded from {filter.model!r} ({error}); name the model that "
                "will be trained"
            ) from error
        if filter.max_pixels and sees(self._processor):
            set_range(self._processor, Pixels(0, filter.max_pixels))
        self._tokenizer = tokenizer_of(self._processor)
        self._prompt = Prompt(filter.prompt)
        self._given = filter, images
        self._images = ImageStore(images, read_only=True)
        self._added: dict[tuple[tuple[int, int], ...], int] = {}

    def __reduce__(self) -> Any:
        """Created again in another process, since a processor cannot always be pickled."""
        return Counter, self._given

    def count(self, rows: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """[n] tokens of prompt, images and response."""
        return np.array([self._tokens(row) for row in rows], np.int64)

    def _tokens(self, row: dict[str, Any]) -> int:
        from vlt.engine.chat import messages_for, opened_thought, prompt_text, written_after

        messages = messages_for(self._processor, render(self._prompt, row, images=True))
        text = prompt_text(self._processor, messages)
        response = written_after(opened_thought(text), row["response"] or "")
        counts = [self._length(text), self._length(response), 1]
        return sum(counts) + self._of_images(text, row["images"])

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _of_images(self, text: str, names: Sequence[str]) -> int:
        """The tokens that images of these sizes add to a prompt's text."""
        from PIL import Image

        if not names:
            return 0
        found = [self._images.info(name) for name in names]
        sizes = tuple((info.width, info.height) for info in found)
        if sizes not in self._added:
            blank = [Image.new("RGB", size) for size in sizes]
            shown = self._processor(images=[blank], text=[text], add_special_tokens=False)
            self._added[sizes] = len(shown["input_ids"][0]) - self._length(text)
        return self._added[sizes]
