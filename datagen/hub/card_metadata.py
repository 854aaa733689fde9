"""The metadata at the head of a dataset's card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from vlt.images.store import ImageStore
from vlt.workspace.features import embedded
from vlt.workspace.store import Dataset

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def card_metadata(
    dataset: Dataset,
    images: ImageStore,
    split: str,
    others: Sequence[str],
    license: str | None,
) -> dict[str, Any]:
    """The card's metadata for the Hub: task, size, the files of each split, the features."""
    rows = dataset.manifest.rows
    size = next((name for limit, name in SIZES if rows < limit), "1M<n<10M")
    features = json.loads(embedded(dataset.schema).metadata[b"huggingface"])["info"]["features"]
    hashes = {sha for batch in dataset.batches(["images"]) for sha in _flat(batch.column("images"))}
    metadata: dict[str, Any] = {
        "task_categories": ["visual-question-answering", "image-text-to-text"],
        "tags": ["vlt", dataset.kind, "reasoning"]
        if dataset.kind == "sample"
        else ["vlt", dataset.kind],
        "size_categories": [size],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": f"data/{s}-*"} for s in (split, *others)],
            }
        ],
        "dataset_info": {
            "features": [_yaml_feature(name, f) for name, f in features.items()],
            "splits": [
                {
                    "name": split,
                    "num_examples": rows,
                    "num_bytes": sum(images.info(sha).bytes for sha in hashes),
                }
            ],
        },
    }
    if others:  # their numbers are unknown, and the Hub rejects an incomplete list
        del metadata["dataset_info"]["splits"]
    return {"license": license, **metadata}


def _flat(column: Any) -> list[str]:
    flat: list[str] = pc.list_flatten(column).to_pylist()
    return flat


def _yaml_feature(name: str, feature: Mapping[str, Any]) -> dict[str, Any]:
    """A feature in the short form of the Hub's YAML."""
    return {"name": name, **_yaml_type(feature)}


def _yaml_type(feature: Mapping[str, Any]) -> dict[str, Any]:
    """{"dtype": ...}, {"list": ...} or {"struct": [...]}; a struct has no `_type` of its own."""
    kind = feature.get("_type")
    if kind == "Value":
        return {"dtype": feature["dtype"]}
    if kind == "Image":
        return {"dtype": "image"}
    if kind == "List":
        inner = _yaml_type(feature["feature"])
        return {"list": inner.get("dtype") or inner.get("struct") or [inner]}
    return {"struct": [_yaml_feature(name, child) for name, child in feature.items()]}
