"""Every family through every step: what it is asked, sees and learns, and its checkpoint.

    make test-models

Each test is a column of the table in docs/models.md, each family a row.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.lab import PICTURES, STEPS, Lab, opened
from tests.models.looked_at import areas, moved, seen, written
from tests.models.more_families import FAMILIES
from vlt.errors import UserError

LETTERS = Path(__file__).with_name("letters.py")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in FAMILIES],
)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with opened(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


def test_answers(lab: Lab) -> None:
    """Greedy text as transformers' own `generate` writes it, for each of a row's samples."""
    import torch
    from PIL import Image

    from vlt.engine.chat import placeholders
    from vlt.engine.loading import load_model, token_sets
    from vlt.images.decode import open_image

    model, processor = load_model(str(lab.model), None, "float32")
    tokenizer = getattr(processor, "tokenizer", processor)
    ends, _, strip = token_sets(model, tokenizer)
    found, _ = lab.asked(k=2)
    assert len(found) == 2 * len(PICTURES)
    for answered in found:
        row, answer = answered["row"], answered["answer"]
        question = row["question"].removeprefix("<image>")
        shown: list[Image.Image] = [open_image(lab.workspace.images.read(s)) for s in row["images"]]
        content: Any = [{"type": "image", "image": one} for one in shown]
        if "<image>" in question and shown:
            first, second = question.split("<image>")
            content[1:1] = [{"type": "text", "text": first.strip()}]
            question = second
        text = f"{question.replace('<image>', '')} Think first."
        content = [*content, {"type": "text", "text": text}] if lab.family.sees else text
        if not lab.family.sees:
            content = f"{row['question'].replace('<image>', '')} Think first."
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        never = placeholders(model.config)
        with torch.no_grad():
            ids = model.generate(
                **inputs, max_new_tokens=6, do_sample=False, suppress_tokens=never or None
            )
        length = inputs["input_ids"].shape[1]
        tokens = ids[0, length:].tolist()
        expected = tokenizer.decode([t for t in tokens if t not in strip])
        assert answer.prompt_tokens == length
        assert answer.response == lab.family.opens + expected
        assert answer.finish_reason == ("stop" if tokens[-1] in ends else "length")


def test_sft(lab: Lab) -> None:
    """Trained on what was asked, to write the response and then to end; a frozen tower stays."""
    made, calls, _ = lab.sft
    _, asked = lab.asked()
    trained = [call for call in calls if "labels" in call]
    assert {seen(call) for call in trained} == {seen(call) for call in asked}
    assert len({seen(call) for call in trained}) == len(PICTURES)
    tokenizer = getattr(lab.processor, "tokenizer", lab.processor)
    responses = {row["response"].removeprefix("<think>") for row in lab.right.table().to_pylist()}
    start = "" if lab.family.opens else "<think>"
    expected = {f"{start}{response}{lab.family.end}" for response in responses}
    assert {tokenizer.decode(written(call)) for call in trained} == expected
    changed = moved(lab.model, made.path)
    differ, every = changed["language_model"]
    assert differ > 0.9 * every
    if lab.family.sees:
        assert changed["vision_tower"][0] == 0
        assert changed["projector"][0] > 0
    assert made.manifest.facts["prompt_opens"] == (lab.family.opens or None)
    assert made.manifest.rows == len(PICTURES)


def test_batches(lab: Lab) -> None:
    """A row says the same beside others: pictures of every size, several, and none."""
    import torch

    from vlt.images.decode import open_image
    from vlt.train.turns import LabelCollator, Turns

    _, _, model = lab.sft
    model.eval()
    collate = LabelCollator(Turns.of(lab.processor, model))
    rows = [lab.example(i, open_image) for i in range(len(PICTURES))]

    def chances(fields: dict[str, Any]) -> list[float]:
        labels = fields.pop("labels")
        with torch.no_grad():
            logits = model(**fields).logits.log_softmax(-1)
        there = labels[:, 1:] != -100
        picked = logits[:, :-1].gather(-1, labels[:, 1:].clamp(min=0)[..., None])[..., 0]
        found: list[float] = (picked * there).sum(1).tolist()
        return found

    alone = [chances(collate([row]))[0] for row in rows]
    assert chances(collate(rows)) == pytest.approx(alone, abs=2e-3)


def test_grpo(lab: Lab) -> None:
    """Sampled from and trained on what is asked; rewarded for the whole response; mixed batches."""
    import pyarrow.parquet as pq

    reward = {"reward": {f"{LETTERS}:letters": 1.0}}
    settings = {
        "num_generations": 2,
        "per_device_train_batch_size": 2,
        "max_completion_length": 4,
        "max_steps": len(PICTURES),
        "top_k": 0,
    }
    made, calls, _ = lab.train("grpo", lab.items, settings, **reward)
    _, asked = lab.asked()
    assert {seen(call) for call in calls} == {seen(call) for call in asked}
    assert moved(lab.model, made.path)["language_model"][0] > 0
    settings |= {"per_device_train_batch_size": 2 * len(PICTURES), "max_steps": STEPS}
    made, calls, _ = lab.train("grpo", lab.items, settings, reward={"accuracy": 1.0, "format": 1.0})
    assert made.manifest.facts["steps"] == STEPS
    assert all(math.isfinite(v) for v in made.manifest.facts["loss"].values())
    rollouts = pq.read_table(made.path / "rollouts.parquet")["response"].to_pylist()
    assert len(rollouts) == STEPS * 2 * len(PICTURES)
    assert all(text.startswith(lab.family.opens) for text in rollouts)


def test_dpo(lab: Lab) -> None:
    """Both answers after the prompt that is asked, and an end behind each."""
    made, calls, _ = lab.train("dpo", lab.samples, {"max_steps": STEPS})
    tokenizer = getattr(lab.processor, "tokenizer", lab.processor)
    _, asked = lab.asked()
    prompts = {seen(call)[0] for call in asked}
    for call in (call for call in calls if "labels" in call):
        assert seen(call)[0] in prompts
        for labels in call["labels"]:
            assert tokenizer.decode(labels[labels != -100]).endswith(f"</answer>{lab.family.end}")
    assert moved(lab.model, made.path)["language_model"][0] > 0


def test_lora(lab: Lab) -> None:
    """Adapters, merged: the checkpoint says what the model with its adapters said."""
    import torch

    from vlt.engine.loading import load_model

    made, _, model = lab.train(
        "sft", lab.right, {"max_steps": 4, "learning_rate": 2e-2}, lora={"r": 4}
    )
    assert (made.path / "adapter" / "adapter_config.json").is_file()
    merged, _ = load_model(str(made.path), None, "float32")
    base, _ = load_model(str(lab.model), None, "float32")
    fields = lab.fields(0, merged)
    fields.pop("labels")
    with torch.no_grad():
        said, expected, before = (m.eval()(**fields).logits for m in (merged, model, base))
    assert (said - expected).abs().max() < 1e-3
    assert (said - before).abs().max() > 1e-2


def test_reload(lab: Lab, tmp_path: Path) -> None:
    """The checkpoint, in a fresh process, says what the trained model said."""
    import torch

    made, _, model = lab.sft
    fields = lab.fields(0, model)
    fields.pop("labels")
    with torch.no_grad():
        logits = model.eval()(**fields).logits
    torch.save((fields, logits), tmp_path / "said.pt")
    lines = [
        "import sys, torch; from vlt.engine.loading import load_model",
        "model, processor = load_model(sys.argv[1], None, 'float32')",
        "fields, logits = torch.load(sys.argv[2])",
        "with torch.no_grad(): print((model(**fields).logits - logits).abs().max().item())",
    ]
    command = [sys.executable, "-c", "\n".join(lines), str(made.path), str(tmp_path / "said.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-4


def test_pixels(lab: Lab) -> None:
    """A range of pixels shows the same pictures asked, trained and from the checkpoint; or is refused."""
    from vlt.engine.size_rule import rule_of

    if not lab.family.sees:
        pytest.skip("a text model")
    rule = rule_of(lab.processor)
    assert rule.kind == lab.family.rule
    factor = rule.factor
    least, most = (4 * factor**2, 12 * factor**2) if rule.kind == "area" else (0, 2 * factor**2)
    if rule.kind in ("fixed", "grid"):
        with pytest.raises(UserError, match="leave the range out"):
            lab.asked(pixels="4000:200000")
        with pytest.raises(UserError, match="leave the range out"):
            lab.train("sft", lab.right, {}, pixels={"min": 4000, "max": 200000})
        return
    _, asked = lab.asked(pixels=f"{least}:{most}")
    limits = {"min": least, "max": most} if least else {"max": most}
    made, calls, _ = lab.train("sft", lab.right, {"max_steps": len(PICTURES)}, pixels=limits)
    assert {seen(call) for call in calls} == {seen(call) for call in asked}
    _, without = lab.asked(model=made.path)
    assert {seen(call) for call in without} == {seen(call) for call in asked}
    _, at_first = lab.asked()
    assert {seen(call) for call in at_first} != {seen(call) for call in asked}
    patch = getattr(lab.processor.image_processor, "patch_size", 1)
    assert all(least <= area <= most for area in areas(asked, patch))
