"""LoRA and QLoRA: small adapters trained instead of the weights, merged into them at the end.

    lora: {r: 16, lora_alpha: 32}                  # LoRA
    lora: {r: 16, lora_alpha: 32, quantize: true}  # QLoRA: the base in 4 bits (needs a GPU)

The checkpoint has full weights, as any other does, so it is sampled, trained further and served in the
same way; the adapter is beside them in adapter/.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlt.errors import UserError
from vlt.train.freeze import part_of

FIELDS = {
    "r": int,
    "lora_alpha": int,
    "lora_dropout": float,
    "target_modules": list,
    "use_rslora": bool,
    "use_dora": bool,
    "quantize": bool,
}
"""The settings; all but `quantize` are fields of peft's LoraConfig."""
DEFAULT = {"r": 16, "lora_alpha": 32}


def check_lora(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The LoRA settings with our defaults, or None; raises UserError for an invalid one."""
    if not given:
        return None
    for name, value in given.items():
        if name not in FIELDS:
            raise UserError(f"lora: {name!r} is not a setting; there are {', '.join(FIELDS)}")
        wanted = FIELDS[name]
        if isinstance(value, bool) != (wanted is bool) or not isinstance(
            value, (int, float) if wanted is float else wanted
        ):
            raise UserError(f"lora: {name}={value!r} should be of type {wanted.__name__}")
    for package in ("peft", *(["bitsandbytes"] if given.get("quantize") else [])):
        if importlib.util.find_spec(package) is None:
            raise UserError(f"lora needs the package {package}; `pip install {package}`")
    return {**DEFAULT, **given}


def peft_config(model: Any, settings: Mapping[str, Any], frozen: Sequence[str]) -> Any:
    """peft's LoraConfig: adapters on every linear layer outside the frozen parts and the head."""
    from peft import LoraConfig
    from torch.nn import Linear

    fields = {k: v for k, v in settings.items() if k != "quantize"}
    head = model.get_output_embeddings()
    fields.setdefault(
        "target_modules",
        [
            name
            for name, module in model.named_modules()
            if isinstance(module, Linear) and module is not head and part_of(name) not in frozen
        ],
    )
    return LoraConfig(task_type="CAUSAL_LM", **fields)


def in_four_bits() -> Any:
    """QLoRA's quantization of the base (Dettmers et al. 2023): NF4, double quantization, bfloat16."""
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available():
        raise UserError("lora: quantize needs a GPU; leave it out for plain LoRA")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def save_merged(adapter: Path, model: str, revision: str | None, dtype: str, to: Path) -> None:
    """Save `model`'s unquantized weights with the adapter merged into them.

    They are loaded again: a quantized base must not become the checkpoint, and a model sharded over
    several processes is complete in none of them.
    """
    from peft import PeftModel
    from trl.trainer.utils import create_model_from_path

    base = create_model_from_path(model, revision=revision, dtype=dtype, device_map="cpu")
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    merged.save_pretrained(to)
