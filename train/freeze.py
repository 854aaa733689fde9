"""Freeze parts of a vision-language model by a common name, whatever the model calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from vlt.errors import UserError

# A projector may be inside the tower (Qwen2.5-VL: visual.merger), so it is matched first. Names as
# in transformers 5.23; everything between tower and language model is the projector.
_PROJECTORS = (
    "merger multi_modal_projector connector projector aligner mlp1 "
    "mm_projector "  # Kimi K2.5
    "embed_vision "  # Gemma 3n and 4
    "query_tokens qformer language_projection "  # BLIP-2, InstructBLIP
    "visual_embeddings_table "  # Ovis2
    "vision_embed_tokens "  # Fuyu, which has no tower
    "image_newline "  # LLaVA-NeXT and -OneVision
    "vision_projection vision_adapter "  # LightOnOCR, Muse
    "visual_projection image_to_text_projection "  # GIT, Kosmos-2
    "resampler_model perceiver_resampler "  # Ernie 4.5, Idefics
    "high_res_vision_neck high_res_vision_proj high_res_vision_alpha"  # DeepSeek-VL
).split()
_TOWERS = (
    "visual vision_tower vision_model vision_encoder image_encoder "
    "image_tower video_tower high_res_vision_model"  # Video-LLaVA, DeepSeek-VL
).split()


def _named(names: list[str]) -> re.Pattern[str]:
    return re.compile(rf"(^|\.)({'|'.join(names)})(\.|$)")


PROJECTOR, TOWER = _named(_PROJECTORS), _named(_TOWERS)


def part_of(parameter: str) -> str:
    """ "projector", "vision_tower" or "language_model": the part that a parameter belongs to."""
    if PROJECTOR.search(parameter):
        return "projector"
    return "vision_tower" if TOWER.search(parameter) else "language_model"


def freeze(model: Any, parts: Iterable[str]) -> dict[str, int]:
    """Stop gradients to the parts; returns the number of parameters of each.

    Raises UserError if the model has no such part: a run that should freeze it must not silently
    train everything.
    """
    frozen = dict.fromkeys(parts, 0)
    for name, parameter in model.named_parameters():
        part = part_of(name)
        if part in frozen:
            parameter.requires_grad_(False)
            frozen[part] += parameter.numel()
    for part, numbers in frozen.items():
        if not numbers:
            raise UserError(
                f"freeze: {part} matches no parameter of {type(model).__name__}; leave it out"
            )
    return frozen
