"""TRL's DPOTrainer on turns as vlt builds them: see vlt.train.turns."""

from __future__ import annotations

from typing import Any

from trl import DPOTrainer

from vlt.engine.chat import sees
from vlt.train.turns import Turns


class RowsDPOTrainer(DPOTrainer):  # type: ignore[misc]
    """Takes DPOTrainer's arguments and `turns`."""

    def __init__(self, *arguments: Any, turns: Turns, **more: Any):
        self.turns = turns
        super().__init__(*arguments, **more)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        """A vision-language model's rows are encoded batch by batch, a text model's here."""
        if sees(self.turns.processor):
            return dataset

        def tokens(row: dict[str, Any]) -> dict[str, list[int]]:
            asked = self.turns.processor(self.turns.prompt(row), add_special_tokens=False)
            return {
                "prompt_ids": asked["input_ids"],
                "chosen_ids": self.turns.written(row, "chosen") or [],
                "rejected_ids": self.turns.written(row, "rejected") or [],
            }

        return dataset.map(tokens, remove_columns=dataset.column_names)
