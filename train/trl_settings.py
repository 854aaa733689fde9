"""A training's settings: TRL's own fields by name; those that would ruin a run are rejected."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from vlt.errors import UserError
from vlt.near_names import did_you_mean
from vlt.train.method import Method
from vlt.train.trl_fields import fields

EXECUTION: dict[str, Any] = {
    "logging_steps": 1,
    "report_to": "none",
    "save_strategy": "steps",
    "save_steps": 0.1,  # a tenth of the run is the most that kill -9 costs
    "save_total_limit": 2,
    "disable_tqdm": True,
}
"""How a run is logged and saved: our defaults, and never part of a checkpoint's identity."""

NOT_IDENTITY = {
    *EXECUTION,
    "run_name",
    "project",
    "log_level",
    "log_completions",
    "log_multimodal",
    "num_completions_to_print",
    "log_unique_prompts",
    "logging_strategy",
    "logging_first_step",
    "dataloader_num_workers",
    "dataloader_prefetch_factor",
    "dataloader_pin_memory",
    "dataset_num_proc",
    "use_cpu",
    "vllm_server_base_url",
    "vllm_server_host",
    "vllm_server_port",
    "vllm_server_timeout",
    "vllm_group_port",
    "vllm_gpu_memory_utilization",
    "vllm_enable_sleep_mode",
    "vllm_max_model_length",
    "vllm_tensor_parallel_size",
    "ddp_timeout",
}
"""Fields for where, how fast and how verbosely a run goes, which do not affect its result."""

OURS = {
    "output_dir": "a checkpoint goes into the workspace; copy it out with --output DIR",
    "push_to_hub": "train first, then `vlt push` the checkpoint",
    "chat_template_path": "rows use the model's own chat template, as generation does; leave it out",
    "chat_template_kwargs": "rows use the model's own chat template, as generation does; leave it out",
    "assistant_only_loss": "the loss is on the response alone already; leave it out",
    "resume_from_checkpoint": "a killed run resumes when the same command is run again; leave it out",
}
GONE = {
    "warmup_ratio": "transformers 5 removed it; write warmup_steps={value} (below 1 is a ratio)",
    "max_prompt_length": "TRL 1 removed it; drop long prompts with a filter, or limit pixels",
    "tokenizer": "the model's own tokenizer is used",
    "evaluation_strategy": "it is called eval_strategy",
}
PIXELS = {"min_pixels", "max_pixels"}
REPORTERS = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
"""Value of report_to -> packages, one of which must be installed; the metrics table needs none."""


def resolve(method: Method, given: Mapping[str, Any], *, images: bool) -> dict[str, Any]:
    """`given`, validated and converted, with what the method always sets.

    Raises UserError for an unknown field and for one that would silently ruin the run; `images`
    is whether any row has one.
    """
    known = fields(method.config)
    for name, value in given.items():
        if name in GONE:
            raise UserError(
                f"setting {name}={value} is not supported: {GONE[name].format(value=value)}"
            )
        if OURS.get(name):
            raise UserError(f"setting {name}={value} is not supported: {OURS[name]}")
        if name in PIXELS:
            raise UserError(
                f"{name} is not a field of TRL's config; write pixels.{name[:3]}={value}"
            )
        if name not in known:
            near = did_you_mean(name, [*known, *GONE], most=1)
            hint = near or "`vlt train --explain` lists them"
            raise UserError(f"TRL's {method.config[-1]} has no field {name!r}; {hint}")
    typed = {name: _typed(known[name].type, name, value) for name, value in given.items()}
    settings = {**method.always, **typed}
    _check_reporters(settings.get("report_to"))
    if images:
        _refuse_with_images(method, settings)
    return settings


def _check_reporters(given: Any) -> None:
    """Raises UserError for a reporter whose package is missing, before anything is loaded."""
    for name in [given] if isinstance(given, str) else given or []:
        packages = REPORTERS.get(name, ())
        if packages and not any(importlib.util.find_spec(package) for package in packages):
            raise UserError(
                f"report_to={name} needs a package that is not installed; `pip install {packages[0]}`, "
                "or leave it out: the checkpoint's metrics.parquet holds the same numbers"
            )


def identity(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that affect the result of a training."""
    return {k: v for k, v in sorted(settings.items()) if k not in NOT_IDENTITY}


def _refuse_with_images(method: Method, settings: Mapping[str, Any]) -> None:
    for name, why in method.without_images.items():
        value = settings.get(name)
        if value is not None and value is not False:
            raise UserError(f"{name}={value} {why}")


def _typed(annotation: str, name: str, value: Any) -> Any:
    """Numbers that YAML 1.1 and --set parse as text or as floats, as the field's type."""
    kinds = annotation.replace(" ", "").split("|")
    if isinstance(value, str) and "str" not in kinds and ("float" in kinds or "int" in kinds):
        try:
            value = float(value)
        except ValueError:
            raise UserError(f"setting {name}={value!r} should be a number") from None
    if isinstance(value, float) and "float" not in kinds and "int" in kinds:
        if value != int(value):
            raise UserError(f"setting {name}={value} should be a whole number")
        return int(value)
    return value
