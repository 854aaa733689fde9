"""TRL's GRPOTrainer, with prompts and images as vlt's generation shows them to the model.

TRL passes the pixels of a whole batch and splits them by rules for each family; some have none
(Mistral 3, LLaVA-OneVision with several images, rows without an image). Here rows are passed, and the
model's own processor encodes them for each forward pass, whichever rows it covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from trl import GRPOTrainer

from vlt.engine.chat import THINK, begun, opened_thought, put_back
from vlt.engine.loading import token_sets
from vlt.train.hints import TRACE, Fade, first_part
from vlt.train.turns import Turns, encode, is_per_token, pictures

OTHER = ("input_ids", "attention_mask")
NEVER = -100.0
"""vLLM's minimum logit bias."""


def left_out(rewards: Any, functions: Sequence[Any]) -> Any:
    """`rewards` [completions, functions], with nan throughout for completions that a judge could not judge.

    Otherwise the sum of the other rewards would pass for the full reward.
    """
    judges = [i for i, f in enumerate(functions) if getattr(f, "leaves_out", False)]
    if judges:
        rewards[rewards[:, judges].isnan().any(dim=1)] = float("nan")
    return rewards


class RowsGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """Takes GRPOTrainer's arguments, `turns`, and `fade` if rows may have hints."""

    def __init__(self, *arguments: Any, turns: Turns, fade: Fade | None = None, **more: Any):
        super().__init__(*arguments, **more)
        self.turns, self.fade = turns, fade
        self._rows: list[dict[str, Any]] = []
        """The rows of the current batch: prompt text, the opening of a thought that it ends with ("" for
        none), hint and images."""
        ends, never, self._strip = token_sets(self.model, self._tokenizer)
        given = dict(self.args.generation_kwargs or {})
        suppressed = sorted({*never, *turns.never, *(given.pop("suppress_tokens", None) or [])})
        if self.use_vllm:
            self.vllm_generation.generation_kwargs = _for_vllm(given, ends, suppressed)
            if self._is_vlm:
                see_anew_after_updates(self.vllm_generation)
        elif suppressed:  # a drawn image token would have no image
            self.generation_config.suppress_tokens = suppressed
            self.generation_kwargs["suppress_tokens"] = suppressed

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._rows = rows = [self._asked(row) for row in inputs]
        if self.fade:
            hinted = sum(row["hint"] is not None for row in rows) / len(rows)
            self._metrics["train" if self.model.training else "eval"]["hinted"].append(hinted)
        # Without images, so that TRL leaves their handling to this class.
        texts = [{k: v for k, v in row.items() if k != "images"} for row in inputs]
        found: dict[str, Any] = super()._generate_and_score_completions(texts)
        found["rows"] = rows
        return found

    def _asked(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as it is asked at this step: its hint, if it has one, ends the prompt."""
        text = self.turns.prompt(row)
        asked: dict[str, Any] = {
            "text": text,
            "opened": opened_thought(text),
            "images": pictures(row),
        }
        if not self.fade:
            return asked
        share = self.fade.at(self.state.global_step, self.state.max_steps)
        hint = first_part(row[TRACE] or "", share) or None
        asked |= {"hint": hint, "hint_share": share if hint else 0.0}
        if hint:
            asked["text"] = text + begun(asked["opened"], hint)
            asked["opened"] = THINK if asked["opened"] or THINK in hint else ""
        return asked

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        rows = self._rows
        assert len(rows) == len(prompts)
        fields = self._encoded(rows)
        ids, mask = fields["input_ids"], fields["attention_mask"].bool()
        kept = {
            name: [v[m].tolist() for v, m in zip(value, mask, strict=True)]
            if is_per_token(name, value, ids)
            else value
            for name, value in fields.items()
            if name not in OTHER
        }
        return [row[m].tolist() for row, m in zip(ids, mask, strict=True)], None, kept

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *rest: Any, **more: Any
    ) -> Any:
        if self.use_vllm and any(row["images"] for row in self._rows):
            images = [row["images"] or None for row in self._rows]
            if self.vllm_mode == "colocate":
                # vLLM itself expands an image's placeholder into its tokens. In a prompt where they
                # are expanded already it would do so again (TRL 1.16, its issue 6294).
                texts = [row["text"] for row in self._rows]
                prompt_ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return super()._generate_single_turn(prompt_ids, images, multimodal_fields, *rest, **more)

    def _calculate_rewards(
        self,
        inputs: Any,
        prompts: Any,
        completions: Any,  # noqa: ARG002
        completion_ids_list: Any,
    ) -> Any:
        """Rewards judge what a filter would: the whole response, including the opening of its thought."""
        whole = [
            [
                {
                    "role": "assistant",
                    "content": put_back(row["opened"], self._said(ids)),
                }
            ]
            for row, ids in zip(self._rows, completion_ids_list, strict=True)
        ]
        inputs = [
            {**given, **{k: row[k] for k in ("images", "hint", "hint_share") if k in row}}
            for given, row in zip(inputs, self._rows, strict=True)
        ]
        found = super()._calculate_rewards(inputs, prompts, whole, completion_ids_list)
        return left_out(found, self.reward_funcs)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        self._rows = inputs["rows"]
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        batch_size: int | None = None,
        **more: Any,
    ) -> tuple[Any, Any, Any]:
        import torch

        size = batch_size or len(input_ids)
        found = []
        for start in range(0, len(input_ids), size):
            part = slice(start, start + size)
            fields = self._beside(self._rows[part], input_ids[part], logits_to_keep)
            found.append(
                super()._get_per_token_logps_and_entropies(
                    partial(model, **fields),
                    input_ids[part],
                    attention_mask[part],
                    logits_to_keep,
                    **more,
                )
            )
        logps, entropies, losses = zip(*found, strict=True)
        return (
            torch.cat(logps),
            None if entropies[0] is None else torch.cat(entropies),
            None if losses[0] is None else torch.stack(losses).mean(),
        )

    def _beside(self, rows: list[dict[str, Any]], ids: Any, written: int) -> dict[str, Any]:
        """What a forward pass needs for these rows besides tokens and mask; token positions as in `ids`."""
        import torch

        if not self._is_vlm:
            return {}
        fields = self._encoded(rows)
        prompt, width = fields["input_ids"], ids.shape[1] - written
        for name, value in fields.items():
            if is_per_token(name, value, prompt):
                left = width - prompt.shape[1]  # TRL's padding; the completion is text
                fields[name] = torch.nn.functional.pad(value, (left, written))
        moved = {k: v for k, v in fields.items() if k not in OTHER}
        return dict(self._prepare_input(moved))

    def _encoded(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return encode(
            self.turns.processor, [row["text"] for row in rows], [row["images"] for row in rows]
        )

    def _said(self, ids: list[int]) -> str:
        kept = [token for token in ids if token not in self._strip]
        text: str = self._tokenizer.decode(kept, skip_special_tokens=False)
        return text


def see_anew_after_updates(generation: Any) -> None:
    """Let vLLM forget its embeddings of images whenever it gets new weights.

    It keeps them by image, and TRL 1.16 only lets it forget its prefixes (TRL's issue 7198): an image that
    comes again would be shown as the vision tower of earlier weights saw it. Versions of vLLM that cannot
    forget them are left as they are.
    """
    sync = generation.sync_weights

    def synced() -> None:
        sync()
        if generation.mode == "colocate":
            if forget := getattr(generation.llm.llm_engine, "reset_encoder_cache", None):
                forget()
        elif generation.accelerator.is_main_process:
            client = generation.vllm_client
            answer = client.session.post(f"{client.base_url}/reset_encoder_cache")
            if answer.status_code != HTTPStatus.NOT_FOUND:
                answer.raise_for_status()

    generation.sync_weights = synced


def _for_vllm(given: dict[str, Any], ends: list[int], suppressed: list[int]) -> dict[str, Any]:
    """vLLM's sampling parameters, so that it samples and stops as transformers does.

    vLLM has no suppress_tokens; a bias of -100 leaves a token a factor of e^-100.
    """
    bias = {**dict.fromkeys(suppressed, NEVER), **(given.get("logit_bias") or {})}
    stops = sorted({*ends, *(given.get("stop_token_ids") or [])})
    return {**given, "stop_token_ids": stops, **({"logit_bias": bias} if bias else {})}
