"""Faults of transformers that would end a run, mended on a loaded model."""

from __future__ import annotations

from typing import Any

ONE_TOKEN = ("mistral3", "mistral_large4")
"""Models that take an image of a single token for a token without a sequence (transformers 5.23)."""


def mended(model: Any) -> Any:
    """The model, with what its class gets wrong set right."""
    if model.config.model_type in ONE_TOKEN:

        def keep_sequence(_module: Any, _given: Any, features: Any) -> Any:
            """[1, size] of one token as [1, 1, size]: the caller squeezes the first dimension."""
            return features[None] if features.ndim == 2 and len(features) == 1 else features

        model.model.multi_modal_projector.register_forward_hook(keep_sequence)
    return model
