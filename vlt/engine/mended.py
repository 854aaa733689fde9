"""Workarounds, on a loaded model, for bugs of transformers that would end a run."""

from __future__ import annotations

from typing import Any

ONE_TOKEN = ("mistral3", "mistral_large4")
"""Models that lose the sequence dimension of an image with a single token (transformers 5.23)."""


def mended(model: Any) -> Any:
    """The model, with the bugs of its class worked around."""
    if model.config.model_type in ONE_TOKEN:

        def keep_sequence(_module: Any, _given: Any, features: Any) -> Any:
            """[1, size] of one token as [1, 1, size]: the caller squeezes the first dimension."""
            return features[None] if features.ndim == 2 and len(features) == 1 else features

        model.model.multi_modal_projector.register_forward_hook(keep_sequence)
    return model
