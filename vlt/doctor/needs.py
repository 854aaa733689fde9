"""What a recipe needs: that it is valid itself, and its models, files and packages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlt.doctor.finding import Finding, broken, ok, warning
from vlt.doctor.hub import offline
from vlt.doctor.packages import extra
from vlt.engine.model import Model
from vlt.errors import UserError
from vlt.plural import plural

if TYPE_CHECKING:
    from vlt.runs.recipe import Recipe
    from vlt.train.settings import Training


@dataclass
class Needs:
    """What a recipe needs from the other checks."""

    servers: dict[str, list[str]] = field(default_factory=dict)
    """URL -> the models that it must serve."""
    vllm: list[str | None] = field(default_factory=list)
    """The commands that start vLLM; None is the default one."""
    fetches: bool = False
    """Models or data still have to be fetched from the Hub."""
    findings: list[Finding] = field(default_factory=list)


def needs(recipe: str, workspace: Path) -> Needs:
    """What the recipe (a file, or a bundled one's name) needs; its faults are a finding."""
    from vlt.runs.loop import plan
    from vlt.runs.ready import models_of, unready
    from vlt.runs.recipe import load_recipe

    found = Needs()
    try:
        loaded = load_recipe(recipe, to_run=True)
        steps = plan(loaded)
    except UserError as error:
        says = " ".join(str(error).split())
        found.findings.append(broken("recipe", says, "correct it; `--dry-run` checks it again"))
        return found
    says = (
        f"{loaded.name}: {plural(len(loaded.rounds), 'round')}, {plural(len(steps), 'step')}, valid"
    )
    found.findings.append(ok("recipe", says))
    found.findings += [
        broken("recipe", says, "or start elsewhere with --from")
        # Servers are checked elsewhere, in more detail.
        for _, says in unready(loaded, steps, workspace, servers=False)
    ]
    used = [of if isinstance(of, Model) else loaded.models.base for of in models_of(steps)]
    for name in loaded.models.names:
        model = loaded.models.named(name)
        if model and model in used:
            found.findings += _model(name, model, found)
    found.findings += _packages(loaded)
    found.fetches = found.fetches or any(_on_hub(step.stage) for step in steps)
    return found


def _on_hub(stage: object) -> bool:
    """Whether a step imports something that is neither on this machine nor in the workspace."""
    from vlt.datagen.sources.known import KNOWN
    from vlt.datagen.sources.locate import HUB_ID
    from vlt.runs.stages import Import

    if not isinstance(stage, Import) or stage.source.settings.get("path"):
        return False
    source = stage.source.source
    named = source in {known.name for known in KNOWN}
    return named or (bool(HUB_ID.fullmatch(source)) and not os.path.exists(source))


def _model(name: str, model: Model, found: Needs) -> Iterator[Finding]:
    """What serves it, and whether its files are here or can be fetched."""
    try:
        kind = model.kind
    except UserError as error:
        yield broken(f"models.{name}", str(error), "set engine or base_url in the recipe")
        return
    if kind == "openai":
        for url in model.urls:
            found.servers.setdefault(url, [])
            if model.model not in found.servers[url]:
                found.servers[url].append(model.model)
        if name != "base":
            return  # the server has its files
    elif kind == "vllm" and model.vllm_command not in found.vllm:
        found.vllm.append(model.vllm_command)
    yield from _files(f"models.{name}", model, found)


def _files(what: str, model: Model, found: Needs) -> Iterator[Finding]:
    if os.path.isdir(model.model):
        yield ok(what, f"{model.model} is here")
        return
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model.model, "config.json", revision=model.revision)
    except ValueError:
        do = "name a model's folder, or user/name on the Hub"
        yield broken(what, f"{model.model!r} is neither a folder nor a name on the Hub", do)
        return
    if isinstance(cached, str):
        yield ok(what, f"{model.model} is in the cache ({_weights(Path(cached).parent)})")
    elif names := offline():
        do = f"fetch it (`hf download {model.model}`) without {' '.join(names)}, or name a folder"
        yield broken(what, f"{model.model} is not in the cache, and {names[0]} is set", do)
    else:
        found.fetches = True
        yield ok(what, f"{model.model} will be fetched from the Hub")


def _weights(snapshot: Path) -> str:
    """How large the weights in this snapshot are."""
    files = [f for ending in ("*.safetensors", "*.bin") for f in snapshot.glob(ending)]
    size = sum(f.stat().st_size for f in files if f.exists())
    return f"{size / (1 << 30):,.1f} GiB of weights" if size else "its weights are not fetched yet"


def _packages(recipe: Recipe) -> Iterator[Finding]:
    """What its trainings need besides vlt's own requirements."""
    trainings = list(_trainings(recipe))
    if any(t.lora for t in trainings):
        yield from extra("peft", "LoRA", "lora")
    if any(t.lora and t.lora.get("quantize") for t in trainings):
        yield from extra("bitsandbytes", "LoRA on a quantized model")
    if any(word.startswith("zero") for t in trainings for word in t.accelerate):
        yield from extra("deepspeed", "ZeRO (accelerate: zero2, zero3)")
    if any(t.settings.get("use_vllm") for t in trainings):
        yield from extra("vllm", "vLLM inside GRPO (use_vllm)", "vllm")
    processes = max((t.processes for t in trainings), default=0)
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    if processes > 1 and processes > there:
        says = f"a training takes {processes} GPUs, but this machine has {there or 'none'}"
        yield warning("recipe", says, "run it on a machine that has them, or lower its `processes`")


def _trainings(recipe: Recipe) -> Iterator[Training]:
    for settings in recipe.rounds:
        if settings.sft:
            yield settings.sft
        yield from (phase.train for phase in settings.grpo)
        for phases in settings.phases.values():
            yield from (phase.train for phase in phases)
