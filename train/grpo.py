"""Reinforcement learning on verifiable answers, by TRL's GRPOTrainer and the grader.

    vlt train grpo --data items --model sft-model --set num_generations=8

As a module (`python -m vlt.train.grpo JOB.json`) this is the child process that trains.
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


def train_grpo(
    store: Store,
    data: Dataset,
    *,
    model: str,
    prompt: Prompt,
    settings: Mapping[str, Any] | None = None,
    reward: Mapping[str, Any] | None = None,
    freeze: Sequence[str] = (),
    pixels: Mapping[str, int] | None = None,
    max_prompt_tokens: int | None = None,
    lora: Mapping[str, Any] | None = None,
    choose: Chooser | None = None,
    difficulty: tuple[float | None, float | None] | None = None,
    name: str = "grpo-model",
    round: int | None = None,
    revision: str | None = None,
    processes: int = 1,
    accelerate: Sequence[str] = (),
    progress: Progress | None = None,
) -> tuple[Dataset, bool]:
    """Train `model` on items, or on the distinct items of samples; returns (checkpoint, was there).

    settings: fields of TRL's GRPOConfig. reward: see train.rewards.NUMBERS. difficulty: the band
    (low, high) of pass rates that an item must lie in where it was sampled; None leaves an end
    open. The rest is as in train_sft. Raises UserError.
    """
    from vlt.train.training import run_training

    return run_training(
        "grpo",
        store,
        data,
        model=model,
        prompt=prompt,
        settings=settings or {},
        reward=reward,
        freeze=freeze,
        pixels=pixels,
        max_prompt_tokens=max_prompt_tokens,
        lora=lora,
        chooser=choose,
        difficulty=difficulty,
        name=name,
        round=round,
        revision=revision,
        processes=processes,
        accelerate=accelerate,
        progress=progress,
    )


def train(job: Job) -> dict[str, Any]:
    """The child: TRL's trainer with our rewards, whose verdicts it keeps."""
    from trl import GRPOConfig, GRPOTrainer

    from vlt.train.rewards import rewards
    from vlt.train.verdicts import Verdicts

    verdicts = Verdicts(job.path / "verdicts")
    made = rewards(job.reward, verdicts.record)
    job.settings.setdefault("reward_weights", made.weights)
    config = trainer_config(GRPOConfig, job)
    reader = load_reader(job, truncation_side="left", padding_side="left")
    rows, left_out = load_rows(job, reader)
    model = load_model(job, config)
    trainer = GRPOTrainer(
        model=model,
        peft_config=lora_config(job, model),
        reward_funcs=list(made.functions),
        args=config,
        train_dataset=rows,
        processing_class=reader,
    )
    facts = {**carry_out(trainer, job), "left_out": left_out}
    verdicts.merge(job.path / "model" / "rollouts.parquet", trainer.state.global_step)
    return facts


if __name__ == "__main__":
    main(train)
