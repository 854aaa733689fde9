"""Rows for tests: items, captions and samples, with defaults for what a test does not care about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from vlt.workspace.manifest import Stage
from vlt.workspace.schema import KINDS, item_id
from vlt.workspace.store import Dataset, Store
from vlt.workspace.writer import Writer


def item(question: str = "How many?", answer: str = "2", **fields: Any) -> dict[str, Any]:
    """An item with its id."""
    row = {
        "source": "test",
        "question": question,
        "choices": [],
        "answer": answer,
        "answer_type": "integer",
        "images": [],
        "meta": "{}",
        "answer_source": None,
        **fields,
    }
    row["id"] = item_id(
        row["source"], row["question"], row["choices"], row["answer"], row["images"]
    )
    return row


def sample(
    response: str, index: int = 0, of: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    """One response to an item."""
    row = {**(of or item()), "sample": index, "response": response, "finish_reason": "stop"}
    return {**row, "prompt_tokens": 10, "completion_tokens": len(response.split()), **fields}


def dataset(store: Store, name: str, kind: str, rows: Sequence[dict[str, Any]]) -> Dataset:
    """A version that holds these rows."""
    table = pa.Table.from_pylist(list(rows), schema=KINDS[kind])
    with Writer(store, Stage("test", {"of": name}), name, kind) as writer:
        writer.expect(table)
        writer.keep(table)
    return writer.dataset
