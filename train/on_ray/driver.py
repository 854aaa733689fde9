"""A training as a job on the cluster: Ray Train's TorchTrainer around vlt.train.on_ray.rank."""

from __future__ import annotations

import json
import os
import shutil
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vlt.cluster import address
from vlt.cluster.connection import connected
from vlt.errors import UserError
from vlt.train.launch import JOB, RESULT
from vlt.train.on_ray import rank
from vlt.train.on_ray.lost import RUNNING, Attempts, GivenUp, losses
from vlt.train.on_ray.room import watch_room
from vlt.train.on_ray.server import Server, served
from vlt.workspace.files import write_json

CARRIED = (
    *("VLT_", "HF_", "HUGGING", "TRANSFORMERS_", "DATASETS_", "TOKENIZERS_", "OPENAI_"),
    *("TORCH", "PYTORCH_", "NCCL_", "GLOO_", "OMP_", "MKL_", "ACCELERATE_", "DEEPSPEED_"),
    *("WANDB_", "MLFLOW_", "TENSORBOARD_", "TRACKIO_", "TRL_", "VLLM_"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""Prefixes of the environment variables that are passed to the other nodes: those that decide how a model
is loaded and trained. Program paths and the scheduler's variables differ between nodes."""


def fit(folder: Path, processes: int, accelerate: Sequence[str]) -> None:
    """Run the build folder's training on the cluster of VLT_RAY, until result.json is written.

    Raises UserError with the error of the process that failed for good.
    """
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
    ray = connected()
    for left in (folder / RUNNING, folder / "ray"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    job = json.loads((folder / JOB).read_text())
    with served(ray, folder, job, processes) as server:
        _fit(ray, folder, processes, accelerate, wants_gpu(ray, job["settings"]), server)
    if lost := losses(folder):
        facts = json.loads((folder / RESULT).read_text())
        write_json({**facts, "processes_lost": lost}, folder / RESULT)


def _fit(
    ray: Any,
    folder: Path,
    processes: int,
    accelerate: Sequence[str],
    gpu: bool,
    server: Server | None,
) -> None:
    from ray.train import (
        ControllerError,
        FailureConfig,
        RunConfig,
        ScalingConfig,
        TrainingFailedError,
    )
    from ray.train.torch import TorchTrainer

    task = rank.Task(str(folder), str(Path.cwd()), tuple(accelerate), carried(os.environ), server)
    trainer = TorchTrainer(
        partial(rank.run, task),
        torch_config=_torch_config(),
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=gpu),
        run_config=RunConfig(
            name="ray",
            storage_path=str(folder),  # only Ray's own files; the checkpoints are TRL's
            failure_config=FailureConfig(max_failures=-1),  # see vlt.train.on_ray.lost
            callbacks=[_callback(Attempts(folder, processes, _dead, before=_dead()))],
        ),
    )
    threading.Thread(
        target=watch_room,
        args=(ray, folder, processes),
        kwargs={"gpu": gpu, "server": server.gpus if server else 0},
        daemon=True,
        name="room",
    ).start()
    try:
        trainer.fit()
    except ControllerError as error:
        if isinstance(error.controller_failure, GivenUp):
            raise UserError(str(error.controller_failure)) from error
        raise
    except TrainingFailedError:
        traceback.print_exc()
        raise


def wants_gpu(ray: Any, settings: Mapping[str, Any]) -> bool:
    """Whether each process gets a GPU: if the cluster has any, unless the settings say use_cpu."""
    return bool(ray.cluster_resources().get("GPU")) and not settings.get("use_cpu")


def carried(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of the driver's environment for its processes; not the cluster's address."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(CARRIED) and name != address.VARIABLE
    }


def _torch_config() -> Any:
    """No process group in Ray's own processes: the children make theirs. So Ray's do not import torch, and
    hold no GPU memory."""
    from ray.train.backend import Backend, BackendConfig

    class OnlyPlaced(Backend):  # type: ignore[misc]
        share_cuda_visible_devices = True  # as torchrun does: LOCAL_RANK selects the GPU

    class Placed(BackendConfig):  # type: ignore[misc]
        backend = "the child's"
        backend_cls = OnlyPlaced

    return Placed()


def _callback(attempts: Attempts) -> Any:
    from ray.train import UserCallback

    class AfterLoss(UserCallback):  # type: ignore[misc]
        def after_exception(
            self, run_context: Any, worker_exceptions: dict[int, Exception]
        ) -> None:
            del run_context
            attempts.after(worker_exceptions)

    return AfterLoss()


def _dead() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
