"""The engine `local`: a transformers model in this process, with prompts of similar length in a batch.

Guarantee: with a seed, a sample depends only on its request and its index (random numbers are drawn
per sample, not per batch). The rest of the batch changes only the rounding of the logits, so the sample
is reproducible unless a draw falls within about 1e-6 of the boundary between two tokens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from vlt.engine import LoadImage
from vlt.engine.chat import (
    messages_for,
    opened_thought,
    prompt_text,
    put_back,
    sees,
    tokenizer_of,
)
from vlt.engine.loading import (
    cache_bytes,
    cache_room,
    checked,
    load_model,
    token_sets,
)
from vlt.engine.size_rule import showing
from vlt.errors import UserError
from vlt.images.decode import open_image
from vlt.images.pixels import Pixels
from vlt.request import Completion, Failure, Message, Request, Sampling

WINDOW = 2048
"""Requests that are drawn at once and sorted by length."""
MOST_ROWS = 256
"""Maximum samples in a batch. More gain nothing on a CPU, and long answers then fill a GPU's memory."""


@dataclass
class _Prompt:
    """A prepared request."""

    request: Request
    text: str
    """With the chat template applied."""
    opened: str
    """The end of the text that opens a thought, if it does."""
    images: list[Any]
    pixels: Pixels | None
    """The range to which images are resized; None: the processor's own."""
    weight: int
    """Its approximate length in tokens."""


class LocalEngine:
    """Answers requests with AutoModelForImageTextToText or AutoModelForCausalLM, by the config."""

    def __init__(
        self,
        model: str,
        *,
        load_image: LoadImage,
        revision: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        most_rows: int = MOST_ROWS,
    ):
        """Load `model` (a directory or a name).

        device: a torch device; by default a GPU if there is one. dtype: a torch dtype's name; by default
        float32 on a CPU and the model's own on a GPU. Raises UserError if it cannot be loaded.
        """
        # Threads that spin while they wait take cores from other processes on a shared machine.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        self.load_image, self.most_rows = load_image, most_rows
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        wanted = dtype or ("auto" if self.device.type == "cuda" else "float32")
        self.model, self.processor = load_model(model, revision, wanted)
        self.model.to(self.device).eval()
        self.tokenizer = tokenizer_of(self.processor)
        self.sees = sees(self.processor)
        self._threads = ThreadPoolExecutor(4)
        self._shown: dict[Pixels, Any] = {}
        """The processor for each requested range of pixels."""
        self._ends, self._never, self._strip = token_sets(self.model, self.tokenizer)
        config = self.model.config.get_text_config()
        self.context: int = getattr(config, "max_position_embeddings", None) or 1 << 30
        self._token_bytes = cache_bytes(config, self.model.dtype.itemsize)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion | Failure]:
        """See vlt.engine.Engine."""
        waiting = iter(requests)
        while window := list(islice(waiting, WINDOW)):
            by_sampling: dict[str, list[_Prompt]] = {}
            for request, made in zip(window, self._threads.map(self._prompt, window), strict=True):
                if isinstance(made, str):
                    yield Failure(request.key, request.samples, made)
                else:
                    alike = f"{checked(request.sampling)} {made.pixels}"
                    by_sampling.setdefault(alike, []).append(made)
            for prompts in by_sampling.values():
                sampling = prompts[0].request.sampling
                # The longest first, so that running out of memory happens early.
                prompts.sort(key=lambda p: p.weight, reverse=True)
                for batch in self._batches(prompts, sampling):
                    yield from self._answer(batch, sampling)

    def close(self) -> None:
        """Free the model."""
        self._threads.shutdown()
        self.model = self.processor = self.tokenizer = None
        if self.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _prompt(self, request: Request) -> _Prompt | str:
        """The request with its template applied and its images read, or why that failed."""
        try:
            images, ranges = self._images(request.messages)
        except (OSError, ValueError, SyntaxError, UserError) as error:
            return f"broken image: {re.sub(' <_io.*?>', '', str(error))}"[:300]
        if images and not self.sees:
            return "the model takes no images"
        if len(ranges) > 1:
            return "its images are to be shown in different ranges of pixels"
        text = prompt_text(self.processor, messages_for(self.processor, request.messages))
        weight = len(text) // 3 + sum(i.width * i.height // 784 for i in images)
        pixels = next(iter(ranges), None)
        return _Prompt(request, text, opened_thought(text), images, pixels, weight)

    def _images(self, messages: Iterable[Message]) -> tuple[list[Any], set[Pixels | None]]:
        """The images of the messages in order, and their requested ranges of pixels."""
        images: list[Any] = []
        ranges: set[Pixels | None] = set()
        for message in messages:
            if isinstance(message["content"], str):
                continue
            for block in message["content"]:
                if block["type"] == "image":
                    name, pixels = Pixels.named(block["image"])
                    images.append(open_image(self.load_image(name)))
                    ranges.add(pixels)
        return images, ranges

    def _showing(self, pixels: Pixels | None) -> Any:
        """The processor that resizes images to this range."""
        if pixels is None:
            return self.processor
        if pixels not in self._shown:
            self._shown[pixels] = showing(self.processor, pixels)
        return self._shown[pixels]

    def _batches(self, prompts: list[_Prompt], sampling: Sampling) -> Iterator[list[_Prompt]]:
        """Batches of prompts in their order, of as many as rows and memory allow; at least one."""
        room = cache_room(self.device) // self._token_bytes
        batch: list[_Prompt] = []
        rows = widest = 0
        for prompt in prompts:
            n, wide = len(prompt.request.samples), prompt.weight + sampling.max_tokens
            widest = max(widest, wide)
            if batch and (rows + n > self.most_rows or (rows + n) * widest > room):
                yield batch
                batch, rows, widest = [], 0, wide
            batch.append(prompt)
            rows += n
        if batch:
            yield batch

    def _answer(self, batch: list[_Prompt], sampling: Sampling) -> Iterator[Completion | Failure]:
        """Generate. A batch that the processor rejects, or that does not fit into memory, is halved and
        retried, so that one bad prompt fails alone."""
        import torch

        try:
            inputs = self._encode(batch)
        except (ValueError, IndexError) as error:
            if len(batch) == 1:
                request = batch[0].request
                reason = f"the model's processor refuses it: {error}"
                yield Failure(request.key, request.samples, reason[:300])
            else:
                yield from self._halves(batch, sampling)
            return
        try:
            yield from self._generate(batch, inputs, sampling)
        except torch.cuda.OutOfMemoryError:
            request = batch[0].request
            if len(batch) == 1 and len(request.samples) == 1:
                yield Failure(request.key, request.samples, "out of GPU memory")
            else:
                yield from self._halves(batch, sampling)

    def _halves(self, batch: list[_Prompt], sampling: Sampling) -> Iterator[Completion | Failure]:
        """Half the prompts, then the others; with a single prompt, half its samples."""
        if len(batch) > 1:
            middle = len(batch) // 2
            parts = [batch[:middle], batch[middle:]]
        else:
            [p] = batch
            r, middle = p.request, len(p.request.samples) // 2
            parts = [
                [replace(p, request=Request(r.key, r.messages, samples, sampling))]
                for samples in (r.samples[:middle], r.samples[middle:])
            ]
        for part in parts:
            yield from self._answer(part, sampling)

    def _generate(
        self, batch: list[_Prompt], inputs: dict[str, Any], sampling: Sampling
    ) -> list[Completion | Failure]:
        from transformers import GenerationConfig

        from vlt.engine.decode import Decoder, uniform_numbers

        lengths = inputs["attention_mask"].sum(1).tolist()
        too_long = [length >= self.context for length in lengths]
        if any(too_long):
            failures: list[Completion | Failure] = [
                Failure(
                    p.request.key,
                    p.request.samples,
                    f"prompt too long: {length} tokens, the model takes {self.context}",
                )
                for p, length, bad in zip(batch, lengths, too_long, strict=True)
                if bad
            ]
            rest = [p for p, bad in zip(batch, too_long, strict=True) if not bad]
            return failures + (self._generate(rest, self._encode(rest), sampling) if rest else [])
        samples = [
            (p, length, s)
            for p, length in zip(batch, lengths, strict=True)
            for s in p.request.samples
        ]
        limits = [min(sampling.max_tokens, self.context - length) for _, length, _ in samples]
        seed = sampling.seed
        uniforms = uniform_numbers(
            [p.request.key for p, _, _ in samples],
            [None if seed is None else seed + s for _, _, s in samples],
            0 if sampling.temperature == 0 else max(limits),
        )
        decoder = Decoder(
            sampling,
            [len(p.request.samples) for p in batch],
            uniforms,
            limits,
            self._ends,
            self._never,
            (lambda tokens: self._stop_at(tokens, sampling) is not None) if sampling.stop else None,
        )
        # Only for setting up the batch: tokens are sampled by Decoder (a model's own defaults, such as
        # a repetition penalty, must not apply).
        config = GenerationConfig(
            max_new_tokens=max(limits), pad_token_id=self._pad(), eos_token_id=list(self._ends)
        )
        self.model.generate(**inputs, generation_config=config, custom_generate=decoder)
        return [
            self._completion(p, sample, length, tokens, sampling)
            for (p, length, sample), tokens in zip(samples, decoder.tokens, strict=True)
        ]

    def _encode(self, batch: list[_Prompt]) -> dict[str, Any]:
        texts = [p.text for p in batch]
        words: dict[str, Any] = {
            "padding": True,
            "padding_side": "left",
            "return_tensors": "pt",
            "add_special_tokens": False,  # see vlt.engine.chat.prompt_text
        }
        if not self.sees:
            inputs = self.tokenizer(texts, **words)
        else:
            images = [p.images for p in batch] if any(p.images for p in batch) else None
            inputs = self._showing(batch[0].pixels)(images=images, text=texts, **words)
        return {k: v.to(self.device) for k, v in inputs.items()}

    def _completion(
        self, prompt: _Prompt, sample: int, length: int, tokens: list[int], sampling: Sampling
    ) -> Completion:
        ended = bool(tokens) and tokens[-1] in self._ends
        text = self._text(tokens)
        if sampling.stop and (n := self._stop_at(tokens, sampling)) is not None:
            tokens, ended = tokens[:n], True
            text = self._text(tokens)
            text = text[: min(at for s in sampling.stop if (at := text.find(s)) >= 0)]
        reason = "stop" if ended else "length"
        text = put_back(prompt.opened, text)
        return Completion(prompt.request.key, sample, text, reason, length, len(tokens))

    def _stop_at(self, tokens: list[int], sampling: Sampling) -> int | None:
        """The number of tokens after which a stop text is complete; None if there is none."""

        def holds(n: int) -> bool:
            text = self._text(tokens[:n])
            return any(s in text for s in sampling.stop)

        if not holds(len(tokens)):
            return None
        low, high = 1, len(tokens)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle + 1, high)
        return low

    def _text(self, tokens: list[int]) -> str:
        kept = [t for t in tokens if t not in self._strip]
        return self.tokenizer.decode(
            kept, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self._ends[0])
