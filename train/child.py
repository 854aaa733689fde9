"""The child process of a training: what all methods share around TRL's trainers.

python -m vlt.train.child JOB.json
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlt.engine import torchvision
from vlt.engine.chat import opened_thought
from vlt.engine.loading import keep_video_settings
from vlt.engine.mended import mended
from vlt.errors import UserError
from vlt.shared_disk import flock
from vlt.train.callbacks import save_candidates, write_metrics, write_progress
from vlt.train.method import Method, find_method
from vlt.train.place import end_with_parent, placed_fields, take_place
from vlt.train.processor import keep_range, load_rows, load_training_processor
from vlt.train.resume import drop_later, mark_complete, resume_point, step_of
from vlt.train.row_check import check_shown
from vlt.train.turns import Turns, check_turn
from vlt.workspace.files import write_json


@dataclass
class Job:
    """The child's input, passed through a file."""

    method: str
    """A training method's name: see vlt.train.method."""
    model: str
    """A directory or a name that from_pretrained accepts."""
    revision: str | None
    data: str
    """The Parquet file that vlt.train.trl_rows wrote."""
    settings: dict[str, Any]
    """TRL's fields."""
    freeze: list[str]
    pixels: dict[str, int] | None
    """The range to which images are resized, in pixels: min and max."""
    sized: bool = False
    """Whether the export has resized them already."""
    max_prompt_tokens: int | None = None
    lora: dict[str, Any] | None = None
    own: dict[str, Any] = field(default_factory=dict)
    """The method's own settings."""
    identity: dict[str, Any] | None = None
    """The part of them that belongs to the checkpoint's identity."""
    candidates: int | None = None
    """Save a candidate model every this many steps: see vlt.train.selection."""
    as_asked: str | None = None
    """A file with some rows as generation asks them: see vlt.train.row_check."""
    folder: str = ""
    """The build folder."""
    workspace: str | None = None
    """The workspace's folder, with its journal and images, for rewards that ask a model."""
    version: str | None = None
    """The version that is trained on."""
    logs: str | None = None
    """Where TensorBoard's files go, since the build folder is deleted after the training."""

    @property
    def path(self) -> Path:
        """The build folder."""
        return Path(self.folder)


@dataclass
class Given:
    """What a method builds its trainer from."""

    job: Job
    training: Any
    """The method's own settings: an instance of Method.training."""
    config: Any
    """TRL's config."""
    processor: Any
    """The model's processor, or its tokenizer."""
    rows: Any
    """The export as a `datasets.Dataset`, images decoded."""
    model: Any
    turns: Turns
    """How the model reads rows."""

    def arguments(self, without: Sequence[str] = ()) -> dict[str, Any]:
        """The arguments that every TRL trainer takes; `without` are columns that it should not see."""
        return {
            "model": self.model,
            "peft_config": lora_config(self.job, self.model),
            "args": self.config,
            "train_dataset": self.rows.remove_columns(list(without)),
            "processing_class": self.processor,
        }


def main() -> None:
    """Run the job file named on the command line; facts go to result.json.

    A user's mistake goes to failure.json as one sentence; anything else is a traceback in the log.
    """
    take_place()
    job = Job(**json.loads(Path(sys.argv[1]).read_text()))
    end_with_parent()
    with _alone(job.path):
        try:
            facts = train(find_method(job.method), job)
        except UserError as error:
            write_json({"sentence": str(error)}, job.path / "failure.json")
            raise SystemExit(1) from None
    if int(os.environ.get("RANK", 0)) == 0:
        write_json(facts, job.path / "result.json")


def train(method: Method, job: Job) -> dict[str, Any]:
    """Load what the job names, train with the method, write model/ and return the facts."""
    torchvision.trouble()  # before TRL, and with it transformers, looks for torchvision
    import trl

    training = method.training(**job.own)
    now = json.loads(json.dumps(method.parameters(training)))
    if job.identity is not None and now != job.identity:
        raise UserError("a file was edited while the training started; run the command again")
    config = trainer_config(getattr(trl, method.config[-1]), job)
    processor = load_training_processor(job, **method.processor)
    rows, left_out = load_rows(job, processor, method.completions)
    model = load_model(job, config)
    turns = Turns.of(processor, model)
    for completion in method.completions:
        check_turn(turns, rows[0], completion)
    if job.as_asked:
        check_shown(turns, rows, Path(job.as_asked))
    trainer = method.trainer(Given(job, training, config, processor, rows, model, turns))
    found = carry_out(trainer, job, method.curves)
    more = method.finish(job, trainer.state.global_step)
    opened = opened_thought(turns.prompt(rows[0]))
    return {**found, **more, "prompt_opens": opened or None, "left_out": dict(left_out)}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until a killed run's child of the same rank, which may still be exiting, is gone."""
    with open(folder / f".running-{os.environ.get('RANK', 0)}", "a") as opened:
        flock(opened, fcntl.LOCK_EX)
        yield


def trainer_config(cls: Any, job: Job) -> Any:
    """TRL's config; without a GPU, what a CPU cannot do is turned off unless set explicitly."""
    import torch

    settings = {**job.settings, **placed_fields()}
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        for name, value in {
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
        }.items():
            settings.setdefault(name, value)
        print("no GPU: use_cpu=True, bf16=False, gradient_checkpointing=False unless set")
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    if job.logs:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", job.logs)
    try:
        return cls(output_dir=str(job.path / "run"), **settings)
    except (ValueError, TypeError) as error:
        raise UserError(f"TRL rejects the settings: {error}") from error


def load_model(job: Job, config: Any) -> Any:
    """The model as TRL would load it (float32 unless model_init_kwargs sets it), parts frozen."""
    from trl.trainer.utils import create_model_from_path

    from vlt.train.freeze import freeze

    kwargs = dict(config.model_init_kwargs or {})
    # TRL loads a reference model by the same name; it needs only this one of the model's kwargs.
    config.model_init_kwargs = {"revision": job.revision} if job.revision else None
    if job.lora and job.lora.get("quantize"):
        from vlt.train.lora import in_four_bits

        kwargs["quantization_config"] = in_four_bits()
    if job.revision:
        kwargs["revision"] = job.revision
    if config.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        kwargs["device_map"] = None
    last = resume_point(job.path / "run")
    if last and (last / "config.json").is_file():
        # transformers 5.23 loads no weights at all when it resumes a Qwen2.5-VL: the file has the
        # published names, memory has others, and it silently loads only those that match.
        model = create_model_from_path(str(last), **{**kwargs, "revision": None})
        model.config._name_or_path = job.model  # GRPO loads its reference model from here
    else:
        model = create_model_from_path(job.model, **kwargs)
    mended(model)
    for part, numbers in freeze(model, job.freeze).items():
        print(f"frozen: {part}, {numbers:,} parameters")
    return model


def lora_config(job: Job, model: Any) -> Any:
    """What TRL needs to put adapters on the model, or None if its own weights are trained."""
    if not job.lora:
        return None
    from vlt.train.lora import peft_config

    return peft_config(model, job.lora, job.freeze)


def carry_out(trainer: Any, job: Job, curves: Sequence[str]) -> dict[str, Any]:
    """Train, from the last complete checkpoint if there is one; write model/ and return the facts."""
    trainer.add_callback(write_progress(job.path / "progress.jsonl"))
    trainer.add_callback(mark_complete())
    if job.candidates:
        trainer.add_callback(save_candidates(trainer, job.path, job.candidates))
    run = job.path / "run"
    last = resume_point(run)
    if trainer.is_world_process_zero():
        drop_later(run, last)
    started, cpu, resumed = time.monotonic(), time.process_time(), step_of(last) if last else 0
    if last:
        print(f"resuming from {last}")
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    final = job.path / "model"
    keep_range(job, trainer.processing_class)
    trainer.save_model(str(final / "adapter" if job.lora else final))
    if trainer.is_world_process_zero():
        if job.lora:
            from vlt.train.lora import save_merged

            given = job.settings.get("model_init_kwargs") or {}
            dtype = str(given.get("dtype", "float32"))
            save_merged(final / "adapter", job.model, job.revision, dtype, final)
            trainer.processing_class.save_pretrained(final)
            for file in ("training_args.bin", "README.md"):
                (final / "adapter" / file).unlink(missing_ok=True)
        keep_video_settings(job.model, job.revision, final)
        (final / "training_args.bin").unlink(missing_ok=True)  # local paths, not the model
        write_metrics(trainer.state.log_history, final / "metrics.parquet")
        return {**facts(trainer, curves, seconds, resumed), "train_cpu_seconds": round(cpu, 3)}
    return {}


def facts(trainer: Any, curves: Sequence[str], seconds: float, resumed: int) -> dict[str, Any]:
    """What the manifest keeps: the training's size, its duration, the start and end of its curves."""
    import torch

    history = trainer.state.log_history
    steps = trainer.state.global_step
    found: dict[str, Any] = {
        "steps": steps,
        "epochs": round(trainer.state.epoch or 0, 3),
        "trained": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "train_seconds": round(seconds, 3),
        "steps_per_second": round((steps - resumed) / seconds, 4) if steps > resumed else None,
        "device": str(trainer.args.device),
        "processes": trainer.args.world_size,
    }
    if resumed:
        found["resumed_at"] = resumed
    if torch.cuda.is_available():
        found["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
    for name in curves:
        values = [log[name] for log in history if isinstance(log.get(name), int | float)]
        if values:
            tenth = max(1, len(values) // 10)
            found[name] = {
                "first": sum(values[:tenth]) / tenth,
                "last": sum(values[-tenth:]) / tenth,
            }
    return found


if __name__ == "__main__":
    main()
