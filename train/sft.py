"""Supervised fine-tuning on verified samples, by TRL's SFTTrainer.

    vlt train sft --data sft --model Qwen/Qwen2.5-VL-7B-Instruct --set learning_rate=5e-7

As a module (`python -m vlt.train.sft JOB.json`) this is the child process that trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vlt.prompts import Prompt
from vlt.train.child import Job, carry_out, load_model, lora_config, main, trainer_config
from vlt.train.launch import Progress
from vlt.train.processor import load_reader, load_rows
from vlt.train.selection import Chooser
from vlt.workspace.store import Dataset, Store


def train_sft(
    store: Store,
    data: Dataset,
    *,
    model: str,
    prompt: Prompt,
    settings: Mapping[str, Any] | None = None,
    freeze: Sequence[str] = (),
    pixels: Mapping[str, int] | None = None,
    max_prompt_tokens: int | None = None,
    lora: Mapping[str, Any] | None = None,
    choose: Chooser | None = None,
    name: str = "sft-model",
    round: int | None = None,
    revision: str | None = None,
    processes: int = 1,
    accelerate: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[Dataset, bool]:
    """Train `model` on a dataset of verified samples; returns (checkpoint, whether it was there).

    settings: fields of TRL's SFTConfig; what is not given is TRL's default, except max_length=None.
    freeze: any of vision_tower, projector. pixels: {"min", "max"} an image. prompt: the rollout
    prompt, which the trained model is to be asked with. max_prompt_tokens: rows whose prompt the
    model's processor makes longer (image tokens included) are left out and counted. accelerate:
    zero2, zero3, fsdp2, ..., or arguments of its launcher. lora: see train.lora. choose: keep the
    best of several steps' models, not the last. Raises UserError.
    """
    from vlt.train.training import run_training

    return run_training(
        "sft",
        store,
        data,
        model=model,
        prompt=prompt,
        settings=settings or {},
        freeze=freeze,
        pixels=pixels,
        max_prompt_tokens=max_prompt_tokens,
        lora=lora,
        chooser=choose,
        name=name,
        round=round,
        revision=revision,
        processes=processes,
        accelerate=accelerate,
        progress=progress,
    )


def train(job: Job) -> dict[str, Any]:
    """The child: TRL's trainer, nothing else."""
    from trl import SFTConfig, SFTTrainer

    config = trainer_config(SFTConfig, job)
    reader = load_reader(job)
    rows, left_out = load_rows(job, reader)
    model = load_model(job, config)
    trainer = SFTTrainer(
        model=model,
        peft_config=lora_config(job, model),
        args=config,
        train_dataset=rows.remove_columns(["id", "sample", "source"]),
        processing_class=reader,
    )
    return {**carry_out(trainer, job), "left_out": left_out}


if __name__ == "__main__":
    main(train)
