"""Settings, freezing by name, rewards: what is decided before a model is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from vlt.errors import UserError
from vlt.response_format import is_answer_bare
from vlt.train.explain import explain
from vlt.train.freeze import part_of
from vlt.train.launch import _launcher, environment
from vlt.train.method import find_method
from vlt.train.rewards import check_reward, rewards
from vlt.train.settings import check_freeze, check_pixels
from vlt.train.trl_fields import fields
from vlt.train.trl_settings import identity, resolve


def test_fields_read_from_the_source_are_trls_own() -> None:
    import dataclasses

    from trl import DPOConfig, GRPOConfig, SFTConfig

    for kind, config in (("sft", SFTConfig), ("grpo", GRPOConfig), ("dpo", DPOConfig)):
        real = {f.name: f for f in dataclasses.fields(config)}
        read = fields(find_method(kind).config)
        assert set(read) == set(real)
        for name in ("learning_rate", "beta", "loss_type", "max_length", "num_generations", "bf16"):
            if name in real:
                made = real[name].default_factory
                default = real[name].default if made is dataclasses.MISSING else made()
                assert read[name].default == default


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("sft", {"max_length": 1024}, "cut image tokens"),
        ("sft", {"packing": True}, "does not work with images"),
        ("sft", {"padding_free": True}, "does not work with images"),
        ("sft", {"warmup_ratio": 0.1}, "warmup_steps=0.1"),
        ("sft", {"learning_rat": 1}, "did you mean learning_rate"),
        ("sft", {"learning_rate": "fast"}, "should be a number"),
        ("sft", {"max_steps": 1.5}, "whole number"),
        ("sft", {"output_dir": "x"}, "into the workspace"),
        ("sft", {"max_pixels": 3}, "pixels.max=3"),
        ("grpo", {"max_prompt_length": 512}, "TRL 1 removed it"),
        ("grpo", {"max_length": 512}, "no field 'max_length'"),
    ],
)
def test_what_would_ruin_a_run_is_refused(kind: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve(find_method(kind), given, images=True)


def test_text_alone_may_be_cut_and_packed() -> None:
    assert (
        resolve(find_method("sft"), {"max_length": 512, "packing": True}, images=False)["packing"]
        is True
    )
    assert resolve(find_method("sft"), {}, images=True)["max_length"] is None


def test_numbers_as_yaml_gives_them() -> None:
    found = resolve(find_method("grpo"), {"learning_rate": "1e-6", "max_steps": 10.0}, images=True)
    assert found == {"learning_rate": 1e-6, "max_steps": 10}
    assert isinstance(found["max_steps"], int)


def test_how_a_run_is_watched_is_not_its_identity() -> None:
    given = {"learning_rate": 1e-6, "logging_steps": 5, "report_to": "wandb", "save_steps": 7}
    assert identity(given) == {"learning_rate": 1e-6}


def test_parts_of_the_models_we_know_are_told_apart() -> None:
    for name, part in {
        "model.visual.blocks.0.attn.qkv.weight": "vision_tower",
        "model.visual.patch_embed.proj.weight": "vision_tower",
        "model.visual.merger.mlp.0.weight": "projector",
        "model.language_model.layers.0.mlp.up_proj.weight": "language_model",
        "lm_head.weight": "language_model",
        "model.vision_tower.vision_model.encoder.layers.0.weight": "vision_tower",  # LLaVA
        "model.multi_modal_projector.linear_1.weight": "projector",
        "model.embed_vision.embedding_projection.weight": "projector",  # Gemma 4
        "model.language_model.per_layer_model_projection.weight": "language_model",
        "model.mm_projector.in_proj.weight": "projector",  # Kimi K2.5
        "qformer.encoder.layer.0.attention.attention.query.weight": "projector",  # BLIP-2
        "query_tokens": "projector",
        "language_projection.weight": "projector",
        "model.visual_embeddings_table.weight": "projector",  # Ovis2
        "model.vision_projection.linear_1.weight": "projector",  # LightOnOCR
        "model.image_newline": "projector",  # LLaVA-NeXT
        "model.image_tower.encoder.layers.0.mlp.fc1.weight": "vision_tower",  # Video-LLaVA
        "model.connector.modality_projection.proj.weight": "projector",  # SmolVLM
        "model.vision_model.embeddings.patch_embedding.weight": "vision_tower",
    }.items():
        assert part_of(name) == part
    with pytest.raises(UserError, match="not a part"):
        check_freeze(["vision"])


def test_pixels() -> None:
    assert check_pixels({"max": 262144}) == {"min": 0, "max": 262144}
    assert check_pixels(None) is None
    for bad in ({"min": 3}, {"min": 9, "max": 3}, {"max": 3, "most": 4}):
        with pytest.raises(UserError, match="pixels"):
            check_pixels(bad)


RIGHT = "<think>two</think> It is red. <answer>red</answer>"
BARE = "<think>two</think> <answer>red</answer>"
WRONG = "<think>two</think> It is blue. <answer>blue</answer>"


def reward(settings: dict[str, Any], texts: list[str]) -> list[list[float | None]]:
    made = rewards(check_reward(settings))
    n = len(texts)
    columns: dict[str, Any] = {
        "answer": ["red"] * n,
        "question": ["Which?"] * n,
        "choices": [[]] * n,
        "answer_type": ["text"] * n,
        "completion_ids": [list(range(len(t.split()))) for t in texts],
    }
    completions = [[{"role": "assistant", "content": t}] for t in texts]
    return [f(completions=completions, prompts=[None] * n, **columns) for f in made.functions]


def test_accuracy_is_the_graders_verdict() -> None:
    assert reward({}, [RIGHT, WRONG, BARE, ""]) == [[1.0, 0.0, 1.0, 0.0]]


def test_what_cannot_be_judged_is_left_out() -> None:
    made = rewards(check_reward(None))
    values = made.functions[0](
        completions=[RIGHT], answer=[""], question=[""], choices=[[]], answer_type=["text"]
    )
    assert values == [None]


def test_upstreams_penalty_for_an_answer_without_words_before_it() -> None:
    found = reward({"accuracy": 1, "empty_answer_penalty": 0.5}, [RIGHT, BARE, WRONG])
    assert found == [[1.0, 0.5, 0.0]]
    assert is_answer_bare("<think>a</think>\n<answer>3</answer>")
    assert not is_answer_bare("<answer>3</answer>")
    assert not is_answer_bare("<think>a</think> so <answer>3</answer>")


def test_format_length_and_repetition() -> None:
    looped = "red blue " * 20
    settings = {"accuracy": 0, "format": 0.5, "length": 1, "max_tokens": 4, "repetition": 0.2}
    made = rewards(check_reward(settings))
    assert made.weights == [0.5, 1.0, 0.2]
    form, long, looping = reward(settings, [BARE, looped, RIGHT])
    assert form == [1.0, 0.0, 0.0]
    assert long == [0.0, -1.0, -0.25]
    assert looping[0] == 0.0
    assert looping[1] is not None
    assert looping[1] < -0.9


@pytest.mark.parametrize(
    "bad",
    [{"acuracy": 1}, {"accuracy": "1"}, {"accuracy": 0}, {"grader": "x"}, {"length": 1}],
)
def test_rewards_that_mean_nothing_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="reward"):
        check_reward(bad)


def test_explain_sets_value_paper_and_default_side_by_side() -> None:
    rows = {
        r["setting"]: r for r in explain(find_method("grpo"), {"beta": 0.02, "num_generations": 5})
    }
    assert (rows["beta"]["value"], rows["beta"]["paper"], rows["beta"]["TRL"]) == (
        "0.02",
        "0.01",
        "0",
    )
    assert rows["beta"]["set by"] == "you"
    assert rows["loss_type"]["value"] == rows["loss_type"]["TRL"]
    assert rows["loss_type"]["set by"] == "TRL"
    assert {r["setting"]: r for r in explain(find_method("sft"), {})}["max_length"][
        "set by"
    ] == "vlt"


def test_how_processes_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    from vlt.train import launch

    assert _launcher(1, ()) == []
    words = _launcher(4, ["fsdp2"])
    assert words[:3] == ["-m", "accelerate.commands.launch", "--config_file"]
    assert words[3].endswith("fsdp2.yaml")
    assert words[-2:] == ["--num_processes", "4"]
    own = _launcher(1, ["--config_file", "nodes.yaml"])
    assert own == ["-m", "accelerate.commands.launch", "--config_file", "nodes.yaml"]
    monkeypatch.setattr(launch, "has_gpu", lambda: True)
    assert "--multi_gpu" in _launcher(2, ())
    monkeypatch.setattr(launch, "has_gpu", lambda: False)
    assert _launcher(2, ())[1] == "torch.distributed.run"
    with pytest.raises(UserError, match="needs DeepSpeed"):
        _launcher(8, ["zero3"])


def test_the_childs_environment_keeps_a_users_files_out() -> None:
    found = environment(2)
    assert found["PYTHONSAFEPATH"] == "1"
    assert found["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_a_model_may_lie_on_one_gpu_by_a_recipe_that_spreads_it() -> None:
    from vlt.train.methods.sft import METHOD

    assert _launcher(1, ["none"]) == _launcher(1, [])
    assert METHOD.training(accelerate=["none"]).accelerate == ["none"]
    for words, said in (
        (["zero9"], "'zero9' is unknown"),
        ([""], "'' is unknown"),
        (["none", "zero3"], "none takes no other arguments"),
    ):
        with pytest.raises(UserError, match=said):
            METHOD.training(accelerate=words)
