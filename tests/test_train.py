"""SFT and GRPO: the same as plain TRL, frozen, resumed, safe."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.processes import alive, child_of, wait_for
from tests.tiny import PROMPT, items, samples, tiny_vlm, trained
from vlt.errors import UserError
from vlt.images.store import ImageStore
from vlt.train.method import find_method
from vlt.train.trl_rows import write_trl
from vlt.workspace.store import Dataset, Store

SFT: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-3,
    "max_steps": 6,
    "warmup_steps": 2,
}
GRPO: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": 24,
    "learning_rate": 1e-3,
    "max_steps": 3,
    "beta": 0.01,
}
REWARD = {"accuracy": 1.0, "length": 1.0, "max_tokens": 12}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_vlm(tmp_path_factory.mktemp("models") / "vlm"))


@pytest.fixture(scope="module")
def data(store: Store) -> Dataset:
    return samples(store, 24)


@pytest.fixture(scope="module")
def checkpoint(store: Store, model: str, data: Dataset) -> Dataset:
    found, existed = trained(
        "sft", store, data, model=model, settings=SFT, freeze=["vision_tower"], name="sft"
    )
    assert not existed
    return found


@pytest.fixture(scope="module")
def student(store: Store, model: str, data: Dataset) -> str:
    """A model that has learnt the format and guesses the colour, so that rewards differ."""
    settings = {**SFT, "max_steps": 50, "learning_rate": 3e-3}
    found, _ = trained("sft", store, data, model=model, settings=settings, name="student")
    return str(found.path)


def curve(checkpoint: Dataset, name: str = "loss") -> list[float]:
    rows = pq.read_table(checkpoint.path / "metrics.parquet").to_pylist()
    return [r["value"] for r in rows if r["name"] == name]


def by_hand(store: Store, data: Dataset, folder: Path, columns: str) -> Any:
    """The rows and the processor's model, as a TRL user would have them."""
    from datasets import Dataset as Rows

    with ImageStore(store.images_folder) as images:
        file = folder / "rows.parquet"
        write_trl(data, file, find_method(columns), prompt=PROMPT, load_image=images.read)
    return Rows.from_parquet(str(file), cache_dir=str(folder / "cache"))


def test_sft_losses_are_those_of_trl_by_hand(
    store: Store, model: str, data: Dataset, tmp_path: Path
) -> None:
    from trl import SFTConfig, SFTTrainer

    ours, _ = trained("sft", store, data, model=model, settings=SFT, name="equal")
    cpu = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    more = {"max_length": None, "report_to": "none", "logging_steps": 1}
    rows = by_hand(store, data, tmp_path, "sft").select_columns(["prompt", "completion", "images"])
    # The prompt as generation asks it, the response, and the end of a turn: no newline behind it.
    shown = "<|vision_start|><|image_pad|><|vision_end|>"
    asked = f"<|im_start|>user\n{shown}{{}}<|im_end|>\n<|im_start|>assistant\n"
    rows = rows.map(
        lambda row: {
            "prompt": asked.format(row["prompt"][0]["content"]),
            "completion": row["completion"][0]["content"] + "<|im_end|>",
        }
    )
    trainer = SFTTrainer(
        model=model, args=SFTConfig(str(tmp_path / "run"), **SFT, **cpu, **more), train_dataset=rows
    )
    trainer.train()
    theirs = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert curve(ours) == pytest.approx(theirs, abs=1e-6)
    assert len(theirs) == 6
    assert theirs[-1] < theirs[0]


def test_loss_is_on_the_completion_alone_and_pictures_stand_in_the_prompt(
    store: Store, model: str, data: Dataset, tmp_path: Path
) -> None:
    from vlt.engine.loading import load_model
    from vlt.train.turns import LabelCollator, Turns

    rows = by_hand(store, data, tmp_path, "sft")
    loaded, processor = load_model(model, None, "float32")
    batch = LabelCollator(Turns.of(processor, loaded))([rows[i] for i in range(4)])
    tokenizer = processor.tokenizer
    for i, row in enumerate(data.table().to_pylist()[:4]):
        labels = batch["labels"][i]
        learnt = tokenizer.decode(labels[labels != -100])
        assert learnt == f"{row['response']}<|im_end|>"
        seen = tokenizer.decode(batch["input_ids"][i][batch["attention_mask"][i] == 1])
        wide = rows[i]["images"][0].width
        pads = "<|image_pad|>" * (wide // 28 * 2)
        prompt = f"<|vision_start|>{pads}<|vision_end|>{row['question']} Think first.<|im_end|>"
        assert seen.startswith(f"<|im_start|>user\n{prompt}\n<|im_start|>assistant\n<think>")


def test_a_frozen_tower_gets_no_gradients_and_keeps_its_weights(
    checkpoint: Dataset, model: str, store: Store, data: Dataset, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from trl import SFTConfig, SFTTrainer

    from vlt.train.child import Job, load_model
    from vlt.train.freeze import part_of

    before = load_file(Path(model) / "model.safetensors")
    after = load_file(checkpoint.path / "model.safetensors")
    assert set(before) == set(after)
    for name, weights in after.items():
        same = torch.equal(weights, before[name].to(weights.dtype))
        assert same == (part_of(name) == "vision_tower"), name
    rows = by_hand(store, data, tmp_path, "sft").select_columns(["prompt", "completion", "images"])
    config = SFTConfig(str(tmp_path / "run"), use_cpu=True, bf16=False, max_length=None)
    job = Job("sft", model, None, "", {}, ["vision_tower", "projector"], None)
    policy = load_model(job, config)
    trainer = SFTTrainer(model=policy, args=config, train_dataset=rows)
    inputs = trainer.data_collator([rows[i] for i in range(4)])
    trainer.compute_loss(policy, inputs).backward()
    for name, parameter in policy.named_parameters():
        assert (parameter.grad is not None) == (part_of(name) == "language_model"), name


def test_a_checkpoint_is_a_version_with_parents_and_metrics(
    checkpoint: Dataset, store: Store, data: Dataset, model: str
) -> None:
    from vlt.workspace.digest import model_digest

    m = checkpoint.manifest
    assert (m.kind, m.stage, m.rows) == ("checkpoint", "train sft", 24)
    assert [p.ref for p in m.parents] == [data.ref]
    assert m.digest == model_digest(checkpoint.path)
    assert m.facts["steps"] == 6
    assert m.facts["loss"]["last"] < m.facts["loss"]["first"]
    assert m.parameters["settings"]["max_length"] is None
    assert str(store.root) not in json.dumps(m.parameters)
    assert not list((store.folder("checkpoint") / "sft").glob(".building*"))
    again, existed = trained(
        "sft", store, data, model=model, settings=SFT, freeze=["vision_tower"], name="sft"
    )
    assert existed
    assert again.path == checkpoint.path


def test_grpo_from_a_checkpoint_is_trl_by_hand(student: str, store: Store, tmp_path: Path) -> None:
    from trl import GRPOConfig, GRPOTrainer

    from vlt.train.rewards import rewards

    prompts = items(store, 12)
    ours, _ = trained(
        "grpo", store, prompts, model="student@v1", settings=GRPO, reward=REWARD, name="grpo"
    )
    made = rewards(REWARD)
    cpu = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    config = GRPOConfig(
        str(tmp_path / "run"),
        **GRPO,
        **cpu,
        report_to="none",
        logging_steps=1,
        reward_weights=made.weights,
    )
    trainer = GRPOTrainer(
        model=student,
        reward_funcs=list(made.functions),
        args=config,
        train_dataset=by_hand(store, prompts, tmp_path, "grpo"),
    )
    trainer.train()
    for name in ("reward", "loss", "kl"):
        theirs = [log[name] for log in trainer.state.log_history if name in log]
        assert curve(ours, name) == pytest.approx(theirs, abs=1e-5), name
        assert len(theirs) == 3
    assert max(curve(ours, "reward_std")) > 0.1
    assert curve(ours, "kl")[-1] > 0
    assert [p.ref for p in ours.manifest.parents] == [prompts.ref, "student@v1"]
    sampled = pq.read_table(ours.path / "rollouts.parquet")
    assert sampled.num_rows == 3 * 8
    assert set(sampled["id"].to_pylist()) <= set(prompts.table()["id"].to_pylist())
    assert set(sampled["verdict"].to_pylist()) <= {"correct", "wrong", "unjudged"}


RUN = """
import sys
from pathlib import Path
from tests.tiny import trained
from vlt.workspace.store import Store

kind, root, model, data, name = sys.argv[1:]
settings = {settings}[kind]
store = Store(Path(root))
more = {{"reward": {reward}}} if kind == "grpo" else {{}}
trained(kind, store, store.open(data), model=model, settings=settings, name=name, **more)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_killed_and_resumed_is_the_same_curve(
    kind: str, store: Store, model: str, student: str, data: Dataset
) -> None:
    model = student if kind == "grpo" else model
    long = {
        "sft": {**SFT, "max_steps": 24, "save_steps": 4},
        "grpo": {**GRPO, "max_steps": 10, "save_steps": 2},
    }
    more = {"reward": REWARD} if kind == "grpo" else {}
    whole, _ = trained(
        kind, store, data, model=model, settings=long[kind], name=f"{kind}-whole", **more
    )
    name = f"{kind}-killed"
    script = RUN.format(settings=long, reward=REWARD)
    words = [sys.executable, "-c", script, kind, str(store.root), model, data.ref, name]
    here = Path(__file__).parent.parent
    parent = subprocess.Popen(words, cwd=here, stderr=subprocess.DEVNULL)
    folder = store.folder("checkpoint") / name
    wait_for(lambda: list(folder.glob(".building*/run/checkpoint-*/trainer_state.json")))
    child = child_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not alive(child))
    assert not store.versions(name)
    resumed, existed = trained(
        kind, store, data, model=model, settings=long[kind], name=name, **more
    )
    assert not existed
    assert resumed.manifest.facts["resumed_at"] > 0
    for metric in ("loss", *(["reward", "kl"] if kind == "grpo" else [])):
        assert len(curve(whole, metric)) == long[kind]["max_steps"]
        assert curve(resumed, metric) == pytest.approx(curve(whole, metric), abs=1e-5), metric
    assert resumed.manifest.digest == whole.manifest.digest


@pytest.fixture
def users_folder(tmp_path: Path) -> Iterator[Path]:
    """A working directory with files named like our packages."""
    for name in ("train.py", "filters.py", "vlt.py", "datagen.py", "rewards.py"):
        (tmp_path / name).write_text("raise SystemExit('a file of the user was imported')\n")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def test_a_users_own_train_py_breaks_nothing(
    users_folder: Path, store: Store, model: str, data: Dataset
) -> None:
    settings = {**SFT, "max_steps": 1}
    found, _ = trained("sft", store, data, model=model, settings=settings, name="cwd")
    assert found.manifest.facts["steps"] == 1
    assert users_folder == Path.cwd()


def test_a_childs_failure_is_one_sentence(store: Store, model: str, data: Dataset) -> None:
    with pytest.raises(UserError, match="TRL rejects the settings"):
        trained(
            "sft",
            store,
            data,
            model=model,
            settings={**SFT, "lr_scheduler_type": "wavy"},
            name="refused",
        )
    with pytest.raises(UserError, match=r"the full log is in '.*log.txt'"):
        trained(
            "sft",
            store,
            data,
            model=model,
            settings={**SFT, "optim": "adamw_8bit"},
            name="failed",
        )


def test_a_text_model_has_no_tower_to_freeze(store: Store, tmp_path: Path) -> None:
    from tests.tiny import tiny_text

    text = samples(store, 8, images=False, name="text")
    folder = str(tiny_text(tmp_path / "text"))
    settings = {**SFT, "max_steps": 2}
    found, _ = trained("sft", store, text, model=folder, settings=settings, name="text-m")
    assert found.manifest.facts["steps"] == 2
    with pytest.raises(UserError, match="vision_tower matches no parameter"):
        trained(
            "sft",
            store,
            text,
            model=folder,
            settings=settings,
            freeze=["vision_tower"],
            name="text-f",
        )


def test_prompts_that_are_too_long_are_left_out(store: Store, model: str, data: Dataset) -> None:
    """Pictures of 84, 112 and 140 x 56 pixels make 6, 8 and 10 tokens, and each prompt the rest."""
    from vlt.train.child import Job
    from vlt.train.processor import load_training_processor, prompt_tokens

    settings = {**SFT, "max_steps": 1}
    reader = load_training_processor(Job("sft", model, None, "", {}, [], None))
    with ImageStore(store.images_folder) as images:
        from PIL import Image

        lengths = []
        for row in data.table().to_pylist():
            picture = Image.open(io.BytesIO(images.read(row["images"][0])))
            prompt = [{"role": "user", "content": f"{row['question']} Think first."}]
            lengths.append(prompt_tokens(reader, {"prompt": prompt, "images": [picture]}))
    most = sorted(lengths)[10]
    kept = sum(n <= most for n in lengths)
    assert 0 < kept < 24
    found, _ = trained(
        "sft",
        store,
        data,
        model=model,
        settings=settings,
        max_prompt_tokens=most,
        name="short",
    )
    assert found.manifest.rows == kept
    assert found.manifest.failed == {"prompt too long": 24 - kept}


def test_the_command_line(store: Store, model: str, data: Dataset, tmp_path: Path) -> None:
    """vlt train sft, with the prompt from a file and the checkpoint copied out."""
    from tests.cli import vlt, vlt_error, vlt_json

    prompt = tmp_path / "prompt.txt"
    prompt.write_text("{question} Think first.\n")
    out = tmp_path / "out"
    words = ["train", "sft", "-w", str(store.root), "--data", data.ref, "--model", model]
    words += ["--set", "max_steps=1", "--set", "learning_rate=1e-3", "--prompt", str(prompt)]
    found = vlt_json(*words, "--freeze", "projector", "--as", "typed", "--output", str(out))
    assert found["facts"]["steps"] == 1
    assert (out / "model.safetensors").is_file()
    made = store.open("typed").manifest.parameters
    assert made["settings"] == {"learning_rate": 1e-3, "max_length": None, "max_steps": 1}
    assert made["freeze"] == ["projector"]
    assert made["prompt"] == PROMPT.as_json()
    assert "not a field" in vlt_error(*words, "--set", "max_pixels=3")
    assert "holds samples" in vlt_error(
        "train", "grpo", "-w", store.root, "--data", data.ref, "--model", data.ref, code=2
    )
    vlt("filter", data.ref, "--where", "question = ''", "--as", "none", "-w", store.root)
    empty = ("train", "sft", "-w", store.root, "--data", "none", "--model", model)
    assert "no row to train on; see `vlt show none@v1 --dropped`" in vlt_error(*empty)


def test_identities_are_those_of_the_release_before(checkpoint: Dataset) -> None:
    """An earlier release's checkpoints are found again by the same stage and parameters."""
    from vlt.train.settings import Training

    parameters = dict(checkpoint.manifest.parameters)
    digest = parameters.pop("model")["digest"]
    assert len(digest) == 64
    assert parameters == {
        "settings": {
            "learning_rate": 1e-3,
            "max_length": None,
            "max_steps": 6,
            "per_device_train_batch_size": 8,
            "warmup_steps": 2,
        },
        "freeze": ["vision_tower"],
        "pixels": None,
        "max_prompt_tokens": None,
        "lora": None,
        "prompt": {"system": "", "user": "{question} Think first."},
        "processes": 1,
    }
    grpo = find_method("grpo")
    assert grpo.parameters(grpo.filled(Training())) == {
        "reward": {"accuracy": 1.0},
        "difficulty": None,
    }
    banded = grpo.training(difficulty=(0.2, 0.8), reward={"accuracy": 1, "grader": "paper"})
    assert grpo.parameters(banded) == {
        "reward": {"accuracy": 1, "grader": "paper"},
        "difficulty": [0.2, 0.8],
    }
