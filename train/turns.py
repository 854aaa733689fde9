"""Rows as the model reads them in a training: the prompt as in generation, and what it learns to write.

A turn is the prompt's tokens, then the response's, then a token that ends an answer. The chat template's
own rendering of an answered turn is not used: R1-Distill's leaves the thought out, GLM-4.xV's never ends,
LLaVA-OneVision's begins differently from its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vlt.engine.chat import (
    end_token,
    end_tokens,
    messages_for,
    opened_thought,
    placeholder_texts,
    placeholders,
    prompt_text,
    response_tokens,
    sees,
    tokenizer_of,
    written_after,
)
from vlt.errors import UserError

if TYPE_CHECKING:
    import torch

Row = Mapping[str, Any]
IGNORED = -100
"""The label of a token that does not count in the loss."""


@dataclass(frozen=True)
class Turns:
    """How a model reads rows."""

    processor: Any
    """The model's processor, or its tokenizer."""
    ends: Sequence[int]
    """Tokens that end an answer."""
    never: Sequence[int]
    """Image placeholder tokens, which occur only in prompts."""

    @classmethod
    def of(cls, processor: Any, model: Any) -> Turns:
        """Of a loaded model."""
        tokenizer = tokenizer_of(processor)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        texts = tokenizer.convert_tokens_to_ids(placeholder_texts(processor))
        never = {*placeholders(model.config), *(t for t in texts if t is not None)}
        return cls(processor, end_tokens(model, tokenizer), sorted(never))

    @cached_property
    def end(self) -> int:
        """The token that ends a response."""
        return end_token(self.processor, self.ends)

    def prompt(self, row: Row) -> str:
        """The text of a row's prompt, images as placeholders."""
        return row_prompt(self.processor, row)

    def written(self, row: Row, completion: str = "completion") -> list[int] | None:
        """The tokens that the model learns to write; None if they would include an image's."""
        opened = opened_thought(self.prompt(row))
        text = written_after(opened, said(row[completion]))
        ids = response_tokens(tokenizer_of(self.processor), text, self.never)
        return None if ids is None else [*ids, self.end]

    def asked(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The prompts as tensors, [rows, length] padded on the left, with their encoded images."""
        return encode(
            self.processor, [self.prompt(row) for row in rows], [pictures(r) for r in rows]
        )

    def joined(self, rows: Sequence[Row], responses: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Prompts and responses, [rows, length] padded on the right, with `completion_mask`."""
        import torch

        fields = self.asked(rows)
        ids, mask = fields["input_ids"], fields["attention_mask"]
        most = max(map(len, responses))
        pad = tokenizer_of(self.processor).pad_token_id
        written = torch.tensor([[*r, *[pad] * (most - len(r))] for r in responses])
        there = torch.tensor([[1] * len(r) + [0] * (most - len(r)) for r in responses])
        whole = torch.cat([mask, there.to(mask)], 1)
        # Move padding to the right; the other tokens keep their order.
        order = torch.argsort(whole, dim=1, descending=True, stable=True)[:, : whole.sum(1).max()]

        def flushed(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return torch.cat([left, right.to(left)], 1).gather(1, order)

        for name, value in fields.items():
            if is_per_token(name, value, ids):  # the response is text
                fields[name] = flushed(value, torch.zeros_like(written))
        fields["completion_mask"] = flushed(torch.zeros_like(mask), there)
        fields["input_ids"] = flushed(ids, written)
        fields["attention_mask"] = flushed(mask, there)
        return fields


def row_prompt(processor: Any, row: Row) -> str:
    """The text of a row's prompt as in generation, images as placeholders."""
    return prompt_text(processor, messages_for(processor, row["prompt"], len(pictures(row))))


def pictures(row: Row) -> list[Any]:
    """A row's images."""
    return list(row.get("images") or [])


def said(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of a completion's single message, whose content is a string or blocks."""
    content = messages[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(block["text"] or "" for block in content)


def encode(processor: Any, texts: Sequence[str], images: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Prompts as tensors, padded on the left, with their images as the processor encodes them."""
    options: dict[str, Any] = {
        "padding": True,
        "padding_side": "left",
        "return_tensors": "pt",
        "add_special_tokens": False,  # see vlt.engine.chat.prompt_text
    }
    if not sees(processor):
        return dict(processor(list(texts), **options))
    shown = [list(of_row) for of_row in images] if any(images) else None
    return dict(processor(images=shown, text=list(texts), **options))


def is_per_token(name: str, value: Any, ids: torch.Tensor) -> bool:
    """Whether a field, other than the tokens and their mask, has one number per token."""
    import torch

    if name in ("input_ids", "attention_mask") or not torch.is_tensor(value):
        return False
    return bool(value.shape == ids.shape)


class Collator:
    """Makes a batch of rows for a TRL trainer, for SFT and DPO.

    With several `completions` (chosen, rejected) the batch has all rows with the first, then with the next.
    """

    def __init__(self, turns: Turns, completions: Sequence[str]):
        self.turns, self.completions = turns, completions

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Tensors with `completion_mask`."""
        every = [(row, name) for name in self.completions for row in rows]
        responses = [self.turns.written(row, name) for row, name in every]
        return self.turns.joined([row for row, _ in every], [r or [] for r in responses])


class LabelCollator(Collator):
    """With `labels` in place of the mask: for the response, or for all text."""

    def __init__(self, turns: Turns, completion_only: bool = True):
        super().__init__(turns, ["completion"])
        self.completion_only = completion_only

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Tensors with `labels`."""
        import torch

        fields = super().__call__(rows)
        mask = fields.pop("completion_mask")
        ids = fields["input_ids"]
        if not self.completion_only:
            images = torch.isin(ids, torch.tensor(list(self.turns.never), dtype=ids.dtype))
            mask = fields["attention_mask"] * ~images
        fields["labels"] = ids.masked_fill(mask == 0, IGNORED)
        return fields


def text_labels(turns: Turns, row: Row, completion_only: bool = True) -> dict[str, list[int]]:
    """A text model's row as tokens and labels, which SFTTrainer takes unchanged."""
    asked = turns.processor(turns.prompt(row), add_special_tokens=False)["input_ids"]
    written = turns.written(row) or []
    hidden = [IGNORED] * len(asked) if completion_only else list(asked)
    return {"input_ids": [*asked, *written], "labels": [*hidden, *written]}


def check_turn(turns: Turns, row: Row, completion: str = "completion") -> None:
    """Check one row as it would be trained; raises UserError if it is not right.

    The trained tokens must contain the whole response, no image token, and at the end a token that ends
    an answer.
    """
    fields = Collator(turns, [completion])([row])
    ids = fields["input_ids"][0][fields["completion_mask"][0].bool()].tolist()
    name = f"row {row.get('id', '')!r} of the training"
    if not ids or ids[-1] not in turns.ends:
        raise UserError(f"{name} would not end with a token that ends an answer; report the model")
    if found := set(ids).intersection(turns.never):
        text = tokenizer_of(turns.processor).decode(sorted(found))
        raise UserError(
            f"{name} would teach the model to write {text!r}, its image placeholder; report the model"
        )
    response = written_after(opened_thought(turns.prompt(row)), said(row[completion]))
    decoded = tokenizer_of(turns.processor).decode(ids[:-1], skip_special_tokens=False)
    if "".join(response.split()) not in "".join(decoded.split()):
        raise UserError(
            f"{name}: the model's tokenizer cannot encode its response {response[:80]!r}; the model would "
            f"learn {decoded[:80]!r}"
        )
