"""The recipes for real models, run on tiny weights with their real processor and template.

Everything of the recipe stays that a CPU and a minute allow; what does not stands in CHANGES. The
trainings run in this process, so that what the vision tower is shown can be caught in every step.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.cli import vlt as run_vlt
from tests.models.colours import Teachers, write_questions
from tests.models.more_families import build
from vlt.images.store import ImageStore
from vlt.runs.loop import carry_out, plan
from vlt.runs.recipe import Recipe, load_recipe
from vlt.workspace.store import Dataset, Store
from vlt.workspace.workspace import Workspace

FAMILY = "qwen2_5_vl"
LEAST = 3136
"""Pixels of its smallest image, where a recipe gives no minimum."""
FIRST = 48
"""Questions of round 1."""
SMALL = {
    "bf16": False,
    "use_cpu": True,
    "gradient_checkpointing": False,
    "model_init_kwargs": {"dtype": "float32"},
}
SFT = {
    **SMALL,
    "learning_rate": 5e-3,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "max_steps": 100,
}
GRPO = {
    **SMALL,
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 10,
    "gradient_accumulation_steps": 1,
    "max_completion_length": 48,
    "max_steps": 3,
}
CHANGES: dict[str, Any] = {
    "models.base.engine": "local",
    "captions.max_tokens": 64,
    "rollouts.max_tokens": 64,
    "heldout.draw.max_tokens": 64,
    "decontaminate.against": ["heldout"],  # the benchmarks are on the Hub
    "sft.processes": 1,
    "sft.accelerate": ["none"],
}
Shown = dict[str, set[str]]
"""A step ("round 1 sft") -> a digest of each picture as the vision tower got it."""


def small(name: str, folder: Path, model: Path, url: str) -> Recipe:
    """The recipe, on the world of colours: two rounds that a CPU carries out in a minute."""
    file = {
        part: str(write_questions(folder, part, count, seed))
        for seed, (part, count) in enumerate(
            {"first": FIRST, "second": 48, "asked": 12, "heldout": 45, "validation": 21}.items()
        )
    }
    whole = load_recipe(name)
    teacher = {"base_url": [url], "engine": "openai"}
    changes = {
        **CHANGES,
        "models.base.model": str(model),
        "models.captioner": {"model": Teachers.CAPTIONER, **teacher},
        "models.reasoner": {"model": Teachers.REASONER, **teacher},
        "heldout.items": [{"source": file["heldout"]}],
        "rounds": [
            {"teacher": "reasoner", "items": [{"source": file["first"]}]},
            {"teacher": "student", "items": [{"source": file["second"]}]},
        ],
        **{f"sft.settings.{key}": value for key, value in SFT.items()},
    }
    if whole.validation:
        changes |= {"validation.items": [{"source": file["validation"]}], "sft.choose.every": 60}
        changes["validation.draw.max_tokens"] = 64
    for i, phase in enumerate(whole.rounds[0].grpo):
        train = f"grpo.{i}.train"
        changes[f"grpo.{i}.items"] = [{"source": file["asked"]}]
        changes |= {f"{train}.processes": 1, f"{train}.accelerate": ["none"]}
        changes |= {f"{train}.settings.{key}": value for key, value in GRPO.items()}
        each = phase.train.settings["num_generations"]
        changes[f"{train}.settings.generation_batch_size"] = 2 * each
        changes[f"{train}.settings.per_device_train_batch_size"] = 2 * each
        if phase.train.choose:
            changes[f"{train}.choose.every"] = 2
    return load_recipe(name, changes)


@contextmanager
def looking() -> Iterator[tuple[Shown, Callable[[str], None]]]:
    """Record what the vision tower is shown, by the step announced last."""
    from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as modeling

    from vlt.train import child, training
    from vlt.train.method import find_method

    shown: Shown = defaultdict(set)
    step = ""

    def now(name: str) -> None:
        nonlocal step
        step = name

    tower: Any = modeling.Qwen2_5_VisionTransformerPretrainedModel
    forward = tower.forward

    def look(self: Any, hidden_states: Any, grid_thw: Any, **more: Any) -> Any:
        parts = hidden_states.detach().float().split(grid_thw.prod(-1).tolist())
        shown[step].update(digest(part.cpu().numpy()) for part in parts)
        return forward(self, hidden_states, grid_thw, **more)

    def here(job: dict[str, Any], _folder: Path, **_: Any) -> dict[str, Any]:
        return child.train(find_method(job["method"]), child.Job(**job))

    with patch.object(tower, "forward", look), patch.object(training, "launch", here):
        yield shown, now


def digest(pixels: Any) -> str:
    """Of one image's patches."""
    return hashlib.sha1(pixels.astype("float32").tobytes()).hexdigest()


def drawn(
    model: Path, store: ImageStore, images: set[str], pixels: dict[str, int] | None
) -> set[str]:
    """Digests of these images as transformers' own processor brings them into a range of pixels."""
    from transformers import AutoProcessor

    from vlt.images.decode import open_image

    size = {}
    if pixels:
        least = pixels.get("min") or LEAST
        size = {"size": {"shortest_edge": least, "longest_edge": pixels["max"]}}
    processor = AutoProcessor.from_pretrained(model).image_processor
    return {
        digest(processor(open_image(store.read(sha)), return_tensors="np", **size)["pixel_values"])
        for sha in images
    }


def base(folder: Path) -> Path:
    """Random weights that are as sure of a next token as trained ones are, or LoRA, which leaves the
    output layer alone, could never make them so."""
    from safetensors.torch import load_file, save_file

    build(FAMILY, folder)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] *= 10
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def pictures(*of: Dataset) -> set[str]:
    """The images of these versions' rows."""
    return {sha for each in of for (sha,) in each.table().column("images").to_pylist()}


@pytest.mark.parametrize(
    "name", ["openvlthinker-v1", "openvlthinker-v1.2", "qwen2.5-vl-3b-single-gpu"]
)
def test_recipe(name: str, tmp_path: Path) -> None:
    """Two rounds learn the colours, and each step sees the pictures that its recipe says."""
    model, workspace = base(tmp_path / "model"), Workspace(tmp_path / "workspace")
    with Teachers() as server, looking() as (shown, now):
        recipe = small(name, tmp_path, model, server.url)
        run = carry_out(
            workspace,
            recipe,
            plan(recipe),
            on_step=lambda step, *_: now(f"{step.name}@r{step.round}"),
        )
    made = {f"{step}@r{number}": version for (number, step), version in run.made.items()}

    def accuracy(step: str) -> float:
        return float(made[step].manifest.facts["accuracy"]["value"])

    assert accuracy("eval-base@r0") == 0
    for step in ("eval-sft", "eval-grpo"):
        for number in (1, 2):
            assert accuracy(f"{step}@r{number}") > 0.8, "a third is right by chance"
    assert made["sft@r1"].manifest.rows == made["captions@r1"].manifest.rows == FIRST
    assert all(made[f"{step}@r2"].manifest.rows > 0 for step in ("sft", "grpo-model"))

    heldout = pictures(made["heldout@r0"])
    judged = pictures(made["validation@r0"]) if recipe.validation else set()
    sft, grpo = recipe.rounds[0].sft.pixels, recipe.rounds[0].grpo[0].train.pixels
    expected: dict[str, tuple[dict[str, int] | None, set[str]]] = {
        "eval-base@r0": (None, heldout),
        "samples@r2": (grpo, pictures(made["items@r2"])),
    }
    for number in ("r1", "r2"):
        expected[f"sft-model@{number}"] = (sft, pictures(made[f"sft@{number}"]) | judged)
        expected[f"eval-sft@{number}"] = (sft, heldout)
        expected[f"eval-grpo@{number}"] = (grpo, heldout)
    with ImageStore(workspace.images_folder, read_only=True) as store:
        for step, (pixels, images) in expected.items():
            assert shown[step] == drawn(model, store, images, pixels), step
        for number in ("r1", "r2"):
            phases = [v for k, v in made.items() if re.fullmatch(rf"grpo-items.*@{number}", k)]
            asked = pictures(*phases) | judged
            assert shown[f"grpo-model@{number}"] <= drawn(model, store, asked, grpo)
            assert shown[f"grpo-model@{number}"] - drawn(model, store, judged, grpo)
        captioned = {store.read(sha) for sha in pictures(made["items@r1"])}
    assert set(server.images) == captioned


TINY_SFT = [
    *("--accelerate", "none", "--processes", 1, "--set", "bf16=false"),
    *("--set", "learning_rate=5e-3", "--set", "per_device_train_batch_size=8"),
    *("--set", "gradient_accumulation_steps=1", "--set", "max_steps=100"),
]
TINY_GRPO = [
    *(
        "--accelerate",
        "none",
        "--processes",
        1,
        "--set",
        "bf16=false",
        "--set",
        "learning_rate=1e-4",
    ),
    *("--set", "generation_batch_size=10", "--set", "per_device_train_batch_size=10"),
    *("--set", "gradient_accumulation_steps=1", "--set", "max_completion_length=48"),
    *("--set", "max_steps=2"),
]
RECIPE = ("--recipe", "openvlthinker-v1")


def test_commands(tmp_path: Path) -> None:
    """README's commands for real models, in its order, each a process of its own; and a round 2."""
    model = base(tmp_path / "model")
    write_questions(tmp_path, "heldout", 45, 3)
    write_questions(tmp_path, "questions", FIRST, 0)

    def vlt(*words: object) -> str:
        return run_vlt(*words, cwd=tmp_path, OMP_NUM_THREADS="1")

    def accuracy(name: str) -> float:
        (dataset,) = Store(tmp_path / "workspace").versions(name)[-1:]
        return float(dataset.manifest.facts["accuracy"]["value"])

    with Teachers() as server:
        vlt("import", "heldout.jsonl", "--as", "heldout")
        vlt("import", "questions.jsonl")
        url = ("--base-url", server.url)
        vlt("gen", "captions", "--model", server.CAPTIONER, *url)
        vlt("gen", "reasoning", "--model", server.REASONER, *url, "-k", 4)
    chosen = ("--verify", "--select", "shortest", "--truncate-reflections", "--dedup")
    vlt("filter", *chosen)
    vlt("filter", "samples", *chosen, "--format", "--as", "in-format")
    store = Store(tmp_path / "workspace")
    rows = {name: store.open(name).table().to_pylist() for name in ("sft", "in-format")}
    assert rows["sft"] == rows["in-format"]
    assert len(rows["sft"]) == FIRST
    assert all(row["response"].startswith("<think>") for row in rows["sft"])

    vlt("train", "sft", "--data", "sft", "--model", model, *RECIPE, *TINY_SFT)
    vlt("eval", "heldout", "--model", "sft-model", "--as", "after-sft", "--max-tokens", 48)
    vlt("train", "grpo", "--data", "items", "--model", "sft-model", *RECIPE, *TINY_GRPO)
    vlt("eval", "heldout", "--model", "grpo-model", "--as", "after-grpo", "--max-tokens", 48)
    vlt("gen", "rollouts", "items", "--model", "grpo-model", "-k", 4, "--max-tokens", 48)
    vlt("filter", *chosen, "--as", "sft2")
    vlt("train", "sft", "--data", "sft2", "--model", model, *RECIPE, *TINY_SFT, "--round", 2)
    vlt("eval", "heldout", "--model", "sft-model", "--as", "round-2", "--max-tokens", 48)
    found = {name: accuracy(name) for name in ("after-sft", "after-grpo", "round-2")}
    assert min(found.values()) > 0.6, f"a third is right by chance, and these are {found}"
