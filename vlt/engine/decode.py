"""Samples the tokens of a batch of prompts from a transformers model, one forward pass per token.

transformers' own `generate` sets the batch up (cache, positions, masks) and hands over to `Decoder`
through its `custom_generate` hook, because three things differ: a prompt is prefilled once for all its
samples, finished rows leave the batch, and every row has its own random numbers, so that its tokens do not
depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from vlt.request import Sampling

LEAVE = 0.75
"""Finished rows are removed when less than this share of the batch is still running."""
GROW = 64
"""Tokens by which a cache grows at a time."""
CHECK_EVERY = 16
"""Tokens between two checks for stop texts."""
AFTER_PREFILL = ("token_type_ids", "mm_token_type_ids")
"""The inputs from `generate`, besides the cache, that passes after the first need."""


class Decoder:
    """Decodes one batch; `tokens` holds each row's tokens when `generate` has returned."""

    def __init__(
        self,
        sampling: Sampling,
        counts: Sequence[int],
        uniforms: np.ndarray,
        limits: Sequence[int],
        ends: Sequence[int],
        never: Sequence[int],
        stopped: Callable[[list[int]], bool] | None = None,
    ):
        """Rows are the samples, prompt by prompt.

        counts: samples of each prompt. uniforms: [rows, tokens] in [0, 1), unused when greedy.
        limits: maximum tokens of each row. ends: tokens that end a row. never: tokens that must not be
        sampled. stopped: whether a row's tokens so far contain a stop text.
        """
        self.sampling, self.counts, self.uniforms = sampling, counts, uniforms
        self.limits, self.ends, self.never, self.stopped = limits, ends, never, stopped
        self.tokens: list[list[int]] = []

    @torch.inference_mode()
    def __call__(self, model: Any, input_ids: torch.Tensor, *_: Any, **kwargs: Any) -> torch.Tensor:
        """Called by `generate` with the prepared prompts, [prompts, length], left-padded."""
        for name in ("logits_processor", "stopping_criteria", "generation_config", "synced_gpus"):
            kwargs.pop(name, None)
        device = input_ids.device
        # transformers 5.24 renamed the argument: past_key_values before, cache since.
        held, cache = next((k, v) for k, v in kwargs.items() if isinstance(v, Cache))
        in_place(cache)
        first = model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **kwargs)
        logits = model(**first, return_dict=True).logits[:, -1]

        repeats = torch.tensor(self.counts, device=device)
        prompts = torch.repeat_interleave(torch.arange(len(self.counts), device=device), repeats)
        if len(prompts) > len(self.counts):
            select_rows(cache, prompts)
        state = {k: v for k, v in kwargs.items() if k in (held, *AFTER_PREFILL)}
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in state:  # generated tokens are text
                state[name] = state[name][prompts, -1:] * 0
        positions = kwargs.get("position_ids")
        if positions is not None:
            positions = positions[..., prompts, -1:]

        length, most = input_ids.shape[1], max(self.limits)
        rows = torch.arange(len(prompts), device=device)  # which sample each row of the batch is
        mask = torch.ones((len(rows), length + most), dtype=torch.long, device=device)
        if (given := kwargs.get("attention_mask")) is not None:  # None: nothing is padded
            mask[:, :length] = given[prompts]
        drawn = torch.zeros((len(rows), most), dtype=torch.long, device=device)
        written = torch.zeros(len(rows), dtype=torch.long, device=device)  # tokens of each sample
        limits = torch.tensor(self.limits, device=device)
        uniforms = torch.from_numpy(self.uniforms).to(device)
        ends = torch.tensor(list(self.ends), device=device)
        done = torch.zeros(len(rows), dtype=torch.bool, device=device)
        logits = logits[prompts]
        for step in range(most):
            if self.never:
                logits[:, self.never] = -torch.inf
            token = self._draw(logits, uniforms[rows, step] if uniforms.numel() else None)
            drawn[rows, step] = token
            written[rows] += (~done).long()
            done |= torch.isin(token, ends) | (step + 1 >= limits[rows])
            if self.stopped and (step + 1) % CHECK_EVERY == 0:
                done |= self._texts_stopped(drawn[rows, : step + 1], done)
            alive = int((~done).sum())
            if not alive:
                break
            if alive < LEAVE * len(rows):
                stay = (~done).nonzero().squeeze(1)
                rows, token, done, mask = rows[stay], token[stay], done[stay], mask[stay]
                select_rows(cache, stay)
                state = {k: v if k == held else v[stay] for k, v in state.items()}
                positions = None if positions is None else positions[..., stay, :]
            if positions is not None:
                positions = positions + 1
            inputs = model.prepare_inputs_for_generation(
                token[:, None],
                next_sequence_length=1,
                attention_mask=mask[:, : length + step + 1],
                use_cache=True,
                position_ids=positions,
                **state,
            )
            logits = model(**inputs, return_dict=True).logits[:, -1]
        self.tokens = [row[:n] for row, n in zip(drawn.tolist(), written.tolist(), strict=True)]
        return drawn

    def _draw(self, logits: torch.Tensor, uniform: torch.Tensor | None) -> torch.Tensor:
        """One token per row, by inverting the cumulative distribution at the row's own random number."""
        s = self.sampling
        if s.temperature == 0 or uniform is None:
            return logits.argmax(-1)
        logits = logits.float() / s.temperature
        order = None
        if s.top_k or s.top_p < 1:
            k = min(s.top_k or logits.shape[-1], logits.shape[-1])
            logits, order = torch.topk(logits, k, sorted=True)
        chances = torch.softmax(logits, -1)
        if s.top_p < 1:
            before = torch.cumsum(chances, -1) - chances
            chances = chances.masked_fill(before >= s.top_p, 0)
        sums = torch.cumsum(chances, -1, dtype=torch.float64)
        at = torch.searchsorted(sums, uniform[:, None] * sums[:, -1:], right=True)
        at = at.clamp(max=sums.shape[-1] - 1)
        return (at if order is None else order.gather(1, at)).squeeze(1)

    def _texts_stopped(self, drawn: torch.Tensor, done: torch.Tensor) -> torch.Tensor:
        assert self.stopped
        flags = [
            False if over else self.stopped(tokens)
            for tokens, over in zip(drawn.tolist(), done.tolist(), strict=True)
        ]
        return torch.tensor(flags, device=done.device)


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A cache layer that writes new tokens into preallocated space, where DynamicLayer copies everything."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [batch, heads, tokens, size] keys and values; returns all of them."""
        new = key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values, self.length = key_states, value_states, new
            self.room: tuple[torch.Tensor, torch.Tensor] | None = None
            return self.keys, self.values
        if self.room is None or self.length + new > self.room[0].shape[-2]:
            self.room = self._widened(self.keys, new), self._widened(self.values, new)
        keys, values = self.room
        end = self.length + new
        keys[..., self.length : end, :] = key_states
        values[..., self.length : end, :] = value_states
        self.length = end
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows of the batch, in this order; a row may occur several times."""
        super().batch_select_indices(indices)
        self.room = None

    @staticmethod
    def _widened(states: torch.Tensor, new: int) -> torch.Tensor:
        *head, length, size = states.shape
        wide = states.new_empty((*head, length + new + GROW, size))
        wide[..., :length, :] = states
        return wide


def in_place(cache: Any) -> None:
    """Make an empty cache's plain layers write in place; other kinds (sliding, ...) are unchanged."""
    if isinstance(cache, DynamicCache):
        if cache.layer_class_to_replicate is DynamicLayer:
            cache.layer_class_to_replicate = GrowingLayer
        cache.layers = [GrowingLayer() if type(x) is DynamicLayer else x for x in cache.layers]


def select_rows(cache: Any, indices: torch.Tensor) -> None:
    """Keep these rows of a cache's batch, in this order; a row may occur several times.

    Layers with linear attention (Qwen3.5) support only `reorder_cache`; a cache without layers is
    reordered as a whole.
    """
    if not hasattr(cache, "layers"):
        cache.reorder_cache(indices)
        return
    for layer in cache.layers:
        if isinstance(layer, GrowingLayer):
            layer.batch_select_indices(indices)
        else:
            layer.reorder_cache(indices)


def uniform_numbers(keys: Sequence[bytes], seeds: Sequence[int | None], tokens: int) -> np.ndarray:
    """[rows, tokens] numbers in [0, 1); a row's depend only on its request's key and its seed.

    The key is mixed in so that two prompts with the same seed get different numbers. Without a seed
    they come from the operating system's entropy.
    """
    import hashlib

    out = np.empty((len(keys), tokens))
    for i, (key, seed) in enumerate(zip(keys, seeds, strict=True)):
        if seed is None:
            source = np.random.Philox()
        else:
            digest = hashlib.blake2b(key + b"%d" % seed, digest_size=16).digest()
            source = np.random.Philox(key=int.from_bytes(digest))
        out[i] = np.random.Generator(source).random(tokens)
    return out
