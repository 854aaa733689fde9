"""Tokenizer, chat template and the two tiny models, built from their real classes' configs.

The VLM is a Qwen2.5-VL of 1.2M parameters, the reasoner a Qwen3 of 0.7M. Both are saved so that
AutoProcessor / AutoTokenizer / AutoModelFor... load them without custom code and without
torchvision: the processor is PaddleOCRVLProcessor around the PIL image processor, because
Qwen2.5-VL's own insists on a video processor. The reasoner is a Qwen3 and not a Qwen2, because
AutoTokenizer gives model type qwen2 a pre-tokenizer of its own.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlt.datagen.miniature.questions import FAMILIES, ask
from vlt.datagen.miniature.traces import trace
from vlt.datagen.miniature.world import caption, sample_layout

CAPTION_PROMPT = "Describe the picture."
DIRECT_PROMPT = "{question}"
SCAN_PROMPT = "{question} Check each."
THINK_PROMPT = "{question} Think first."
REASON_PROMPT = "{caption} {question} Think first."

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_TAG = re.compile(r"</?\w+>")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

# Qwen's ChatML without its default system prompt: every token costs time here.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _corpus(n: int = 400) -> Iterator[str]:
    """Text that holds every word of the world, each often enough to become one token."""
    rng = random.Random("tokenizer")
    words = ["user", "system", "assistant", CAPTION_PROMPT, " Think first.", " Check each."]
    numbers = [str(i) for i in range(28)]
    for _ in range(n):
        for name, family in FAMILIES.items():
            layout = sample_layout(family.picture, rng, "train")
            question = ask(name, layout.cells, rng)
            yield f"{caption(layout)} {question.text} Think first."
            yield trace(layout, question, family.level, rng, 0.5)
        yield from words
        yield from numbers
        yield " " + " ".join(numbers)


def make_tokenizer() -> Any:
    """A byte-level BPE in which each word of the world is one token, and any other text still works."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    # The specials come first, so their ids do not depend on the corpus.
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((part for text in _corpus() for part in _TAG.split(text)), trainer)
    # Not special: decoding with skip_special_tokens must keep the tags, the grader needs them.
    core.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        padding_side="left",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=1024,
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_bos_token": "<|vision_start|>",
            "vision_eos_token": "<|vision_end|>",
        },
        chat_template=CHAT_TEMPLATE,
    )


def make_processor(tokenizer: Any) -> Any:
    """The VLM's processor: pictures are never resized (84 x 56 is a multiple of 28 both ways)."""
    from transformers import PaddleOCRVLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    images = Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, temporal_patch_size=2, min_pixels=28 * 28, max_pixels=224 * 224
    )
    return PaddleOCRVLProcessor(images, tokenizer, chat_template=CHAT_TEMPLATE)


def make_vlm(tokenizer: Any) -> Any:
    """A tiny Qwen2.5-VL with random weights."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 100.0,
                "mrope_section": [4, 6, 6],
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_heads": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [0, 1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    return _ready(Qwen2_5_VLForConditionalGeneration(config), tokenizer)


def make_reasoner(tokenizer: Any) -> Any:
    """A tiny Qwen3 with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    return _ready(Qwen3ForCausalLM(config), tokenizer)


def _ready(model: Any, tokenizer: Any) -> Any:
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def save(model: Any, processor: Any, to: Path) -> None:
    """The model in bfloat16 with its processor or tokenizer, as one folder."""
    import torch

    model.to(torch.bfloat16).save_pretrained(to)
    model.float()
    processor.save_pretrained(to)
    if images := getattr(processor, "image_processor", None):
        # vLLM opens the model with Qwen2.5-VL's own processor, which asks for this, too.
        settings = {
            "video_processor_type": "Qwen2VLVideoProcessor",
            "patch_size": images.patch_size,
            "merge_size": images.merge_size,
            "temporal_patch_size": images.temporal_patch_size,
            "size": dict(images.size),
        }
        text = json.dumps(settings, indent=1) + "\n"
        (to / "video_preprocessor_config.json").write_text(text)
