"""Random models with Qwen2.5-VL's architecture in common sizes, and matching images."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

from tests.tiny import tiny_tokenizer, tiny_vlm

SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {"hidden": 896, "ffn": 4864, "layers": 24, "heads": 14, "kv": 2, "depth": 12},
    "3b": {"hidden": 2048, "ffn": 11008, "layers": 36, "heads": 16, "kv": 2, "depth": 32},
}
"""The text models of Qwen2.5-0.5B and Qwen2.5-VL-3B; vision as in the 3B, with fewer layers in the small."""
VOCABULARY = 151_936
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40": 181e12, "4090": 165e12}
"""Dense bfloat16, from the vendor's data sheets, by a substring of the device's name."""


def build(shape: str, folder: Path) -> Path:
    """A model of this shape ("tiny": that of the tests), in bfloat16, as a folder."""
    if shape == "tiny":
        return tiny_vlm(folder)
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    from vlt.datagen.miniature.tiny_models import make_processor

    tokenizer, s = tiny_tokenizer(), SHAPES[shape]
    ids = tokenizer.convert_tokens_to_ids
    size = s["hidden"] // s["heads"]
    half = size // 2
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": s["hidden"],
            "intermediate_size": s["ffn"],
            "num_hidden_layers": s["layers"],
            "num_attention_heads": s["heads"],
            "num_key_value_heads": s["kv"],
            "max_position_embeddings": 32_768,
            "tie_word_embeddings": True,
            "pad_token_id": tokenizer.pad_token_id,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8],
            },
        },
        vision_config={
            "depth": s["depth"],
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": s["hidden"],
            "window_size": 112,
            "fullatt_block_indexes": list(range(7, s["depth"], 8)),
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    model = Qwen2_5_VLForConditionalGeneration(config)
    torch.set_default_dtype(before)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    processor = make_processor(tokenizer)
    processor.image_processor.size = {"shortest_edge": 784, "longest_edge": 262_144}
    processor.save_pretrained(folder)
    return folder


def picture(seed: int, side: int) -> bytes:
    """Coloured noise, side x side pixels, as a PNG."""
    from PIL import Image

    small = Image.frombytes("RGB", (16, 16), random.Random(seed).randbytes(768))
    out = io.BytesIO()
    small.resize((side, side)).save(out, "PNG")
    return out.getvalue()


def peak_flops(device: str) -> float | None:
    """The device's peak FLOPs per second, or None if unknown."""
    return next((flops for name, flops in PEAK_FLOPS.items() if name in device), None)
