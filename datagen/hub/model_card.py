"""The card of a model on the Hub, written from the manifest of its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlt.datagen.hub.markdown import markdown_table, parameter_leaves
from vlt.workspace.digest import model_digest
from vlt.workspace.lineage import made_from
from vlt.workspace.store import Dataset, Store

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
LONG = 500
"""Maximum characters of a value that are shown."""


def model_card(
    store: Store, folder: Path, repo: str, checkpoint: Dataset | None, license: str | None
) -> str:
    """README.md of a model: what it is, how it was trained and on what, and what was measured.

    The text is in `model_card.md.jinja`; without a checkpoint, nothing is said about training.
    """
    from huggingface_hub import ModelCard, ModelCardData

    config = json.loads((folder / "config.json").read_text())
    metadata = ModelCardData(
        license=license,
        library_name="transformers",
        pipeline_tag="image-text-to-text" if "vision_config" in config else None,
        tags=["vlt"],
    )
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        table=markdown_table,
        title=repo.split("/")[-1],
        model_type=config.get("model_type", "unknown"),
        digest=model_digest(folder),
        **(_training(store, checkpoint) if checkpoint else {}),
    )
    return f"{card.content.rstrip()}\n"


def _training(store: Store, checkpoint: Dataset) -> dict[str, Any]:
    m = checkpoint.manifest
    stages = [*made_from(store, checkpoint), checkpoint]
    return {
        "ref": m.ref,
        "stage": m.stage,
        "parameters": _leaves(m.parameters),
        "measured": _leaves(m.facts),
        "lineage": [
            [
                s.ref,
                s.manifest.stage,
                ", ".join(p.ref for p in s.manifest.parents),
                "" if s.kind == "checkpoint" else f"{s.manifest.rows:,}",
                f"`{s.manifest.digest[:16]}`",
            ]
            for s in stages
        ],
    }


def _leaves(values: Mapping[str, Any]) -> list[list[str]]:
    """(dotted name, value) for a table."""
    texts = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in parameter_leaves("", values)
    ]
    return [[name, text[:LONG]] for name, text in texts]
