"""Tiny models with random weights, from each family's own config, model and processor classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.models import tokenizers as t

Built = tuple[Any, Any]
"""(the model, its processor or tokenizer)"""


@dataclass(frozen=True)
class Family:
    """One family, and what is expected of it."""

    title: str
    """As the documentation calls it."""
    make: Callable[[], Built]
    sees: bool = True
    opens: str = ""
    """What its prompt opens a thought with."""
    end: str = ""
    """The token that ends its answers."""
    rule: str = ""
    """Its size rule: see vlt.engine.size_rule."""


def text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """A language model's sizes."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        **more,
    }


def tower(**more: Any) -> dict[str, Any]:
    """A vision tower's sizes, in the terms of SigLIP, CLIP and Pixtral."""
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        **more,
    }


def qwen_tower(**more: Any) -> dict[str, Any]:
    """A vision tower's sizes, in the terms of Qwen2-VL and related models."""
    return {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 64,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        **more,
    }


def ids(tokenizer: Any, **names: str) -> dict[str, int]:
    """field=token -> field: its id."""
    return {field: tokenizer.convert_tokens_to_ids(token) for field, token in names.items()}


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    return ids(
        tokenizer,
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
    )


def finished(model: Any, processor: Any, ends: Sequence[str] = ()) -> Built:
    """With a generation config as published: tokens that end an answer, and a temperature."""
    from transformers import GenerationConfig

    tokenizer = getattr(processor, "tokenizer", processor)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.6,
        eos_token_id=tokenizer.convert_tokens_to_ids(list(ends)) or tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    return model, processor


def qwen_tokenizer(template: str, plain: Sequence[str] = ()) -> Any:
    return t.tokenizer(
        t.QWEN, template=template, eos="<|im_end|>", pad="<|endoftext|>", plain=plain
    )


def qwen_vl(version: str) -> Built:
    import transformers as hf

    tokenizer = qwen_tokenizer(t.shipped("qwen2_5_vl"))
    images = hf.Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": 12845056})
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}
    # Heads of 32: vLLM's kernels for CPUs (tests/real_vllm) know none that are smaller.
    words = text(tokenizer, num_attention_heads=2, num_key_value_heads=1, rope_parameters=rope)
    if version == "2":
        looks = qwen_tower(embed_dim=32, hidden_size=64, mlp_ratio=2, patch_size=14)
        del looks["intermediate_size"], looks["out_hidden_size"]
        config: Any = hf.Qwen2VLConfig
        model, processor = hf.Qwen2VLForConditionalGeneration, hf.Qwen2VLProcessor
    else:
        looks = qwen_tower(patch_size=14, window_size=56, fullatt_block_indexes=[1])
        config = hf.Qwen2_5_VLConfig
        model, processor = hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLProcessor
    made = config(text_config=words, vision_config=looks, **qwen_ids(tokenizer))
    video = hf.Qwen2VLVideoProcessor(patch_size=14)
    reader = processor(images, tokenizer, video, chat_template=tokenizer.chat_template)
    return finished(model(made), reader, ["<|im_end|>", "<|endoftext|>"])


def qwen3_vl(template: str, kind: str = "3") -> Built:
    """Qwen3-VL, or Qwen3.5, whose first layer is of linear attention."""
    import transformers as hf

    tokenizer = qwen_tokenizer(template, t.THINK)
    images = hf.Qwen2VLImageProcessor(
        patch_size=16,
        size={"shortest_edge": 65536, "longest_edge": 16777216},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor = hf.Qwen3VLProcessor(
        images, tokenizer, hf.Qwen3VLVideoProcessor(), chat_template=template
    )
    looks = qwen_tower(patch_size=16, num_position_embeddings=256)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e6, "mrope_interleaved": True}
    if kind == "3":
        rope |= {"mrope_section": [8, 4, 4]}
        words = text(tokenizer, head_dim=32, rope_parameters=rope)  # see qwen_vl
        looks |= {"deepstack_visual_indexes": [0, 1]}
        config = hf.Qwen3VLConfig(text_config=words, vision_config=looks, **qwen_ids(tokenizer))
        return finished(hf.Qwen3VLForConditionalGeneration(config), processor)
    rope |= {"mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25}
    words = text(
        tokenizer,
        head_dim=16,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        layer_types=["linear_attention", "full_attention"],
        rope_parameters=rope,
    )
    made = hf.Qwen3_5Config(text_config=words, vision_config=looks, **qwen_ids(tokenizer))
    return finished(hf.Qwen3_5ForConditionalGeneration(made), processor)


def gemma3() -> Built:
    import transformers as hf

    special = (
        *("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        *("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    )
    named = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = t.tokenizer(
        special,
        template=t.shipped("gemma3"),
        eos="<eos>",
        pad="<pad>",
        bos="<bos>",
        puts_bos=True,
        named=named,
    )
    images = hf.Gemma3ImageProcessor(size={"height": 56, "width": 56})
    processor = hf.Gemma3Processor(
        images, tokenizer, chat_template=tokenizer.chat_template, image_seq_length=4
    )
    layers = ["sliding_attention", "full_attention"]
    words = text(
        tokenizer, head_dim=16, query_pre_attn_scalar=16, sliding_window=24, layer_types=layers
    )
    config = hf.Gemma3Config(
        text_config=words,
        vision_config=tower(vision_use_head=False),
        mm_tokens_per_image=4,
        **ids(
            tokenizer,
            boi_token_index="<start_of_image>",
            eoi_token_index="<end_of_image>",
            image_token_index="<image_soft_token>",
        ),
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    return finished(model, processor, ["<eos>", "<end_of_turn>"])


def smolvlm2() -> Built:
    import transformers as hf

    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    named = {
        "fake_image_token": "<fake_token_around_image>",
        "image_token": "<image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
        "video_token": "<video>",
    }
    tokenizer = t.tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *named.values(), *tiles],
        template=t.shipped("smolvlm"),
        eos="<end_of_utterance>",
        pad="<|im_end|>",
        bos="<|im_start|>",
        named=named,
    )
    # As published, at a seventh of the size: {"longest_edge": 4 * 364}, {"longest_edge": 364}.
    images = hf.SmolVLMImageProcessor(
        size={"longest_edge": 112}, max_image_size={"longest_edge": 56}
    )
    processor = hf.SmolVLMProcessor(
        images,
        tokenizer,
        hf.SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    config = hf.SmolVLMConfig(
        text_config={"model_type": "llama", **text(tokenizer)},
        vision_config=tower(),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        **ids(tokenizer, image_token_id="<image>"),
    )
    return finished(hf.SmolVLMForConditionalGeneration(config), processor)
