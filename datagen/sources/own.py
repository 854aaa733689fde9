"""Captions and samples made elsewhere: what their rows have besides an item's columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vlt.datagen.sources.columns import NEEDED
from vlt.datagen.sources.conversations import ASSISTANT, turns_of
from vlt.datagen.sources.record import sound_text
from vlt.datagen.sources.row import BadRow
from vlt.grade.extract import extract, split_reasoning

MORE = {
    "item": (),
    "caption": ("caption", "caption_model"),
    "sample": ("response", "model", "finish_reason", "caption", "caption_model"),
}
"""Kind -> what a row may have besides an item's columns."""
NEEDS = {"item": NEEDED, "caption": (*NEEDED, "caption"), "sample": (*NEEDED, "response")}
UNKNOWN = "unknown"
"""The model of a caption or a response whose row does not name it."""
MAX_RESPONSE = 1_000_000
"""Characters."""


class Numbered:
    """Numbers the samples of each item 0, 1, ... in the order in which they arrive."""

    def __init__(self) -> None:
        self._next = Counter[bytes]()

    def rows(
        self, kind: str, item: Mapping[str, Any], more: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The rows made from an item and its further columns. Raises BadRow."""
        if kind == "item":
            return [dict(item)]
        caption = more.get("caption")
        of_caption = {
            "caption": None if caption is None and kind == "sample" else _text(caption, "caption"),
            "caption_model": _name(more.get("caption_model")) if caption is not None else None,
        }
        if kind == "caption":
            return [{**item, **of_caption}]
        said = more.get("response")
        responses = said if isinstance(said, list) and turns_of(said) is None else [said]
        if not responses:
            raise BadRow("no response")
        texts = [_text(response, "response") for response in responses]
        return [self._sample(item, of_caption, text, more) for text in texts]

    def _sample(
        self,
        item: Mapping[str, Any],
        caption: Mapping[str, Any],
        text: str,
        more: Mapping[str, Any],
    ) -> dict[str, Any]:
        key = bytes.fromhex(item["id"])
        number = self._next[key]
        self._next[key] += 1
        return {
            **item,
            **caption,
            "sample": number,
            "response": text,
            "reasoning": split_reasoning(text)[0],
            "predicted": extract(text),
            "finish_reason": more.get("finish_reason") or "stop",
            "model": _name(more.get("model")),
        }


def _text(value: Any, what: str) -> str:
    """A caption or a response: text, or the last of the assistant's turns."""
    if turns := turns_of(value):
        said = [turn.text for turn in turns if turn.role in ASSISTANT]
        value = said[-1] if said else None
    return sound_text(value, what, MAX_RESPONSE)


def _name(value: Any) -> str:
    return value.encode(errors="replace").decode() if isinstance(value, str) and value else UNKNOWN
