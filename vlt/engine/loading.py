"""Loading of models and processors, for the local engine and training."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from vlt.engine import torchvision
from vlt.engine.chat import (
    end_tokens,
    messages_for,
    opened_thought,
    placeholders,
    prompt_text,
    sees,
)
from vlt.engine.mended import mended
from vlt.errors import UserError
from vlt.request import Sampling

TAG = re.compile(r"</?\w+>")
"""A token such as <think>, which belongs to the text even if the tokenizer marks it as special."""
CPU_CACHE_BYTES = 2 << 30
GPU_CACHE_SHARE = 0.4
"""Share of the memory that is free after loading the model, for a batch's keys and values."""


def sees_images(model: str, revision: str | None = None) -> bool:
    """Whether the model (a directory or a name) is a vision-language model, by its config."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    config = AutoConfig.from_pretrained(model, revision=revision)
    return config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def load_processor(model: str, revision: str | None = None, **options: Any) -> Any:
    """A vision-language model's processor, or a text model's tokenizer.

    Raises UserError if it cannot be loaded.
    """
    try:
        torchvision.trouble()  # must come before transformers looks for torchvision
        seeing = sees_images(model, revision)
        from transformers import AutoProcessor, AutoTokenizer

        auto = AutoProcessor if seeing else AutoTokenizer
        found = auto.from_pretrained(model, revision=revision, **options)
    # A missing package raises any of these, depending on the model family.
    except (OSError, ValueError, ImportError, AttributeError, RuntimeError, TypeError) as error:
        raise UserError(_why_not(model, error)) from error
    if seeing and not hasattr(found, "image_processor"):
        raise UserError(_why_not(model, ValueError("its files name no image processor")))
    return found


def _why_not(model: str, error: Exception) -> str:
    """Why a model or its processor cannot be loaded, and what to do."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    trouble = torchvision.trouble()
    if trouble and "torchvision" in str(error).lower():
        return f"the processor of {model!r} needs torchvision, which {trouble}"
    if isinstance(error, ImportError):
        return f"model {model!r} cannot be loaded: {first}"
    if trouble and isinstance(error, AttributeError | RuntimeError | TypeError):
        return f"the processor of {model!r} cannot be loaded, and torchvision {trouble}"
    return (
        f"model {model!r} cannot be loaded: {first}; give a directory saved by save_pretrained "
        "or the name of a model on the Hub"
    )


def opens_thought(model: str, revision: str | None = None) -> str:
    """The end of the model's prompts that opens the thought, if its chat template adds one, else ""."""
    quiet()
    processor = load_processor(model, revision)
    asked = messages_for(processor, [{"role": "user", "content": "q"}])
    return opened_thought(prompt_text(processor, asked))


def quiet() -> None:
    """Turn off progress bars and warnings of transformers, which are meant for model developers."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def keep_video_settings(model: str, revision: str | None, to: Path) -> None:
    """Copy the settings of `model`'s video processor to a folder saved without them.

    Without torchvision, transformers does not read them and so does not save them either; vLLM rejects
    a Qwen2.5-VL that lacks them.
    """
    from transformers.utils import cached_file

    name = "video_preprocessor_config.json"
    found = cached_file(model, name, revision=revision, _raise_exceptions_for_missing_entries=False)
    if found and not (to / name).exists():
        shutil.copyfile(found, to / name)


def load_model(model: str, revision: str | None, dtype: str) -> tuple[Any, Any]:
    """The model and its processor or tokenizer."""
    quiet()
    try:
        processor = load_processor(model, revision)  # first: it is small, and shows what is missing
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

        auto = AutoModelForImageTextToText if sees(processor) else AutoModelForCausalLM
        return mended(auto.from_pretrained(model, revision=revision, dtype=dtype)), processor
    except (OSError, ValueError, ImportError) as error:
        raise UserError(_why_not(model, error)) from error


def cache_bytes(config: Any, itemsize: int) -> int:
    """Bytes of keys and values that one token takes."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * itemsize)


def token_sets(model: Any, tokenizer: Any) -> tuple[list[int], list[int], frozenset[int]]:
    """Tokens that end an answer, that must not be sampled, and that are not part of its text."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    ends = end_tokens(model, tokenizer)
    special = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    strip = {t for t, text in special.items() if not TAG.fullmatch(text)}
    return ends, placeholders(model.config), frozenset(strip.union(ends))


def cache_room(device: Any) -> int:
    """Bytes that a batch's keys and values may take on this torch device."""
    if device.type != "cuda":
        return CPU_CACHE_BYTES
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free * GPU_CACHE_SHARE)


def checked(sampling: Sampling) -> str:
    """Its fields as text (it is not hashable); raises UserError for what this engine cannot do."""
    if sampling.extra:
        names = ", ".join(sampling.extra)
        raise UserError(
            f"the local engine does not support {names}; leave it out or use --base-url"
        )
    if sampling.temperature < 0 or not 0 < sampling.top_p <= 1 or sampling.max_tokens < 1:
        raise UserError(
            f"temperature {sampling.temperature}, top_p {sampling.top_p}, max_tokens "
            f"{sampling.max_tokens}: give temperature >= 0, 0 < top_p <= 1 and max_tokens >= 1"
        )
    return repr(sampling)
