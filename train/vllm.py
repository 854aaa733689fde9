"""vLLM inside GRPO: where it runs, with which TRL settings, and what generation costs without it.

TRL gets the completions of a training from vLLM in one of two modes: colocate, on the GPUs that train,
one engine per process, or server, a separate `vllm serve`. The memory share (0.3 of a GPU) and the
importance-sampling correction (a sequence whose probability under vLLM and under the trained model
differs by more than a factor of 3 is left out) are TRL's defaults; sleep mode, which TRL advises
when memory is short, is on in colocate mode. What generates affects only the speed, as an engine does, and
is never part of a checkpoint's identity.

For server mode, TRL requires REQUIRED in the server's arguments, and sends the weights to it over NCCL after
each update, so it needs a GPU that is not used for training. On a cluster, vlt starts it unless its address
is given (vlt.train.on_ray.server). The servers that generation starts (plain `vllm serve`) have no endpoint
for this.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vlt.cluster.address import ray_address
from vlt.cluster.connection import connected
from vlt.errors import UserError
from vlt.train import launch

if TYPE_CHECKING:
    from vlt.train.methods.grpo import GrpoTraining

EXTRA = "pip install 'vlt-loop[vllm]'"
SERVED_AT = ("vllm_server_base_url", "vllm_server_host")
REQUIRED = (
    *("--weight-transfer-config", '{"backend": "nccl"}'),
    *("--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1"),
)
"""What TRL needs of a server (its docs: vLLM integration)."""
SCALE_OUT = "--enable-scale-out"
"""And this for images, if vLLM has it: since SCALE_OUT_SINCE."""
SCALE_OUT_SINCE = "0.30.0"
VARIABLES = {"VLLM_SERVER_DEV_MODE": "1"}
"""The environment that TRL needs of a server: its weights are received in this mode only."""


def installed() -> str | None:
    """The version of the vLLM in this environment, or None; it is not imported."""
    if importlib.util.find_spec("vllm") is None:
        return None
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:  # on the path, but not installed by pip
        return "of an unknown version"


def settings_of(training: GrpoTraining) -> dict[str, Any]:
    """TRL's fields for the training's `vllm` setting; {} if transformers generates.

    The training's own TRL settings take precedence. Raises UserError if vLLM is asked for explicitly and
    cannot be used.
    """
    given: Mapping[str, Any] = training.settings
    mode: str | None = training.vllm
    if mode is None or given.get("use_vllm") is False:
        return {}
    version = installed()
    if mode == "auto":
        if version is None or not launch.has_gpu():
            return {}
        mode = _mode(given, training.accelerate)
    _check(mode, version, given, training.processes)
    found: dict[str, Any] = {"use_vllm": True, "vllm_mode": mode}
    if mode == "colocate":
        found["vllm_enable_sleep_mode"] = True
    ours = mode == "colocate" or not is_served(given)
    if ours and training.max_prompt_tokens and not training.hints:  # which make a prompt longer
        completion = _value(given, "max_completion_length")
        found["vllm_max_model_length"] = training.max_prompt_tokens + int(completion)
    return {name: value for name, value in found.items() if name not in given}


def is_served(given: Mapping[str, Any]) -> bool:
    """Whether the settings name a server that runs already."""
    return any(given.get(name) for name in SERVED_AT)


def required(version: str | None) -> list[str]:
    """The arguments that TRL needs of a server of this version."""
    from packaging.version import InvalidVersion, Version

    try:
        old = Version(version or "") < Version(SCALE_OUT_SINCE)
    except InvalidVersion:
        old = False
    return [*REQUIRED, *([] if old else [SCALE_OUT])]


def serve_arguments(given: Mapping[str, Any]) -> list[str]:
    """The arguments of the server for a training with these TRL fields: what a colocated vLLM would get.

    Its GPU is its own, so it takes vLLM's share of the memory (0.9) unless the field is set.
    """
    words = [*required(installed()), "--tensor-parallel-size", str(gpus(given))]
    words += ["--model-impl", str(_value(given, "vllm_model_impl"))]
    for name, argument in (
        ("vllm_max_model_length", "--max-model-len"),
        ("vllm_gpu_memory_utilization", "--gpu-memory-utilization"),
    ):
        words += [argument, str(given[name])] if given.get(name) else []
    return [*words, *(["--trust-remote-code"] if given.get("trust_remote_code") else [])]


def gpus(given: Mapping[str, Any]) -> int:
    """The number of GPUs of a server that vlt starts."""
    return int(_value(given, "vllm_tensor_parallel_size"))


def _mode(given: Mapping[str, Any], accelerate: Sequence[str]) -> str:
    """colocate on one node; server if one is named, or if the training runs on several nodes."""
    if is_served(given) or _machines(accelerate) > 1:
        return "server"
    return str(given.get("vllm_mode") or "colocate")


def _machines(accelerate: Sequence[str]) -> int:
    """The number of machines in the launcher's arguments or configuration."""
    import yaml

    words = [word for argument in accelerate for word in argument.split("=")]
    found = 1
    for name, value in pairwise(words):
        if name == "--num_machines" and value.isdigit():
            return int(value)
        if name == "--config_file" and Path(value).is_file():
            read = yaml.safe_load(Path(value).read_text())
            found = int(read.get("num_machines") or 1) if isinstance(read, dict) else 1
    return found


def _check(mode: str, version: str | None, given: Mapping[str, Any], processes: int) -> None:
    if version is None:
        raise UserError(
            f"vllm {mode}: vLLM is not installed in this environment; {EXTRA}, or leave it out to generate "
            "with transformers"
        )
    wanted = supported()
    if wanted and version[0].isdigit() and not wanted.contains(version.partition("+")[0]):
        trl = importlib.metadata.version("trl")
        raise UserError(
            f"vllm {mode}: vLLM {version} is installed but TRL {trl} needs {wanted}; {EXTRA}, or leave "
            "it out to generate with transformers"
        )
    if mode != "server":
        return
    address = ray_address()
    if is_served(given):
        if address not in (None, "local"):
            _check_reached_by_all(given)
    elif address:
        from vlt.train.on_ray.server import check_room

        check_room(connected().nodes(), processes, gpus(given))
    else:
        variables = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
        raise UserError(
            "vllm server: no server address is given; let vlt start the server on a Ray cluster (--ray auto, "
            "or --ray local for this machine), or start one "
            f"({variables} vllm serve MODEL {shlex.join(required(version))}) and set its address, e.g. "
            "--set vllm_server_base_url=http://127.0.0.1:8000"
        )


def _check_reached_by_all(given: Mapping[str, Any]) -> None:
    """On a cluster, the process that uses the server may be on any node."""
    url = given.get("vllm_server_base_url")
    host = urlsplit(str(url)).hostname if url else str(given.get("vllm_server_host"))
    if host in ("localhost", "::1", "0.0.0.0") or str(host).startswith("127."):
        raise UserError(
            f"vllm server: {url or host} is a different machine on each node of the cluster; give the "
            "server's network address (vllm_server_base_url)"
        )


def supported() -> Any:
    """The vLLM versions that the installed TRL supports, by its metadata; None if it names none."""
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires("trl") or []:
        wanted = Requirement(line)
        if wanted.name == "vllm":
            return wanted.specifier
    return None


def cost(training: GrpoTraining, rows: int | None = None) -> str:
    """What generates in a training, and how much, in one sentence; `rows` is their number, if known."""
    given = {**settings_of(training), **training.settings}
    how_many, exact = _completions(training, rows)
    most = int(_value(given, "max_completion_length"))
    amount = f"{how_many} of at most {most:,} tokens"
    if exact is not None:
        amount += f" ({exact * most:,} tokens at most)"
    if given.get("use_vllm"):
        return f"generation by vLLM ({given.get('vllm_mode') or 'colocate'}): {amount}"
    why, advice = "", f"; {EXTRA} lets vLLM write them"
    if training.settings.get("use_vllm") is False or training.vllm is None:
        advice = "; vllm: auto (--vllm auto) lets vLLM write them if it is installed"
    elif installed() is None:
        why = ", since vLLM is not installed"
    else:
        why, advice = ", since there is no GPU", ""
    batch = _per_process(given, training.processes)
    return (
        f"generation by transformers{why}: {amount}, {batch:,} at a time, token by "
        f"token, which usually takes most of GRPO's time{advice}"
    )


def _completions(training: GrpoTraining, rows: int | None) -> tuple[str, int | None]:
    """(how many completions a training samples, in words; the number, if known)."""
    given = training.settings
    group = int(_value(given, "num_generations"))
    steps = int(given.get("max_steps") or 0)
    if steps > 0:
        accumulation = int(given.get("gradient_accumulation_steps") or 1)
        number = (
            steps
            * accumulation
            * int(_value(given, "per_device_train_batch_size"))
            * training.processes
        )
        number //= int(given.get("num_iterations") or 1)
        return f"{number:,} completions", number
    epochs = float(_value(given, "num_train_epochs"))
    if rows is None:
        return f"{epochs * group:g} completions of each item", None
    number = int(rows * group * epochs)
    return f"{number:,} completions", number


def _per_process(given: Mapping[str, Any], processes: int) -> int:
    """Completions that one process samples at once."""
    if whole := given.get("generation_batch_size"):
        return int(whole) // processes
    steps = int(given.get("steps_per_generation") or given.get("gradient_accumulation_steps") or 1)
    return int(_value(given, "per_device_train_batch_size")) * steps


def _value(given: Mapping[str, Any], name: str) -> Any:
    """The given value, else the default of GRPOConfig's field."""
    from vlt.train.methods.grpo import METHOD
    from vlt.train.trl_fields import fields

    return given.get(name) or fields(METHOD.config)[name].default
