"""Supervised fine-tuning on verified samples, with TRL's SFTTrainer.

vlt train sft --data sft --model Qwen/Qwen2.5-VL-7B-Instruct --set learning_rate=5e-7
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlt.errors import UserError
from vlt.train.method import Method, Row

if TYPE_CHECKING:
    import pyarrow as pa

    from vlt.train.child import Given


def columns() -> pa.Schema:
    """One row is a prompt with the sample that the model learns."""
    import pyarrow as pa

    from vlt.train.trl_rows import MESSAGES

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            ("sample", pa.int32()),
            ("source", pa.string()),
            ("prompt", MESSAGES),
            ("completion", MESSAGES),
            ("images", pa.list_(pa.string())),
        ]
    )


def example(row: Row) -> Row | str:
    """The completion is everything that the model wrote."""
    if not row.get("response"):
        return "no response"
    return {"completion": [{"role": "assistant", "content": row["response"]}]}


def trainer(given: Given) -> Any:
    """TRL's trainer, on turns as vlt builds them: see vlt.train.turns.

    A vision-language model's rows are encoded batch by batch, a text model's beforehand, which
    leaves packing and truncation to TRL.
    """
    from trl import SFTTrainer

    from vlt.engine.chat import sees
    from vlt.train.turns import LabelCollator, text_labels

    whole = given.config.completion_only_loss is False
    arguments = given.arguments(without=("id", "sample", "source"))
    if not sees(given.processor):
        rows = arguments["train_dataset"]
        arguments["train_dataset"] = rows.map(
            lambda row: text_labels(given.turns, row, not whole), remove_columns=rows.column_names
        )
        return SFTTrainer(**arguments)
    for name in ("packing", "padding_free"):
        if getattr(given.config, name):
            raise UserError(f"{name}=True does not work with models that see images; leave it out")
    given.config.dataset_kwargs = {"skip_prepare_dataset": True}
    given.config.remove_unused_columns = False
    return SFTTrainer(**arguments, data_collator=LabelCollator(given.turns, not whole))


METHOD = Method(
    name="sft",
    about="Fine-tune a model on verified samples.",
    takes=("sample",),
    made_by="vlt filter --verify",
    config=("trl", "trainer/sft_config.py", "SFTConfig"),
    columns=columns,
    completions=("completion",),
    example=example,
    trainer=trainer,
    # TRL's 1024 cuts image tokens out of a prompt, and the model then fails on the first such row.
    always={"max_length": None},
    without_images={
        "max_length": (
            "would cut image tokens out of the rows; leave it out and drop long samples with "
            "`vlt filter --max-words`, or limit pixels"
        ),
        "packing": "does not work with images in TRL; leave it out",
        "padding_free": "does not work with images in TRL; leave it out",
    },
    paper={
        "learning_rate": (5e-7, "table 7; upstream's sft.yaml has 5e-6"),
        "lr_scheduler_type": ("cosine", "table 7"),
        "warmup_steps": (0.1, "table 7, a ratio of all steps"),
        "num_train_epochs": (1, "table 7"),
        "effective batch": (32, "table 7"),
        "bf16": (True, "upstream, sft.yaml"),
        "completion_only_loss": (True, "LLaMA-Factory's rule"),
    },
    shown=("per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "seed"),
    curves=("loss", "mean_token_accuracy"),
)
