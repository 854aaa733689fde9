"""Stands in for the package vLLM as far as TRL calls it: it records what it is given, and writes little.

VLLM_CALLS names the file that each call is added to, as one pickle. An answer is a few tokens and the
first of the stop tokens; every second one is cut, as it were at the limit.
"""

from __future__ import annotations

import os
import pickle
from types import SimpleNamespace
from typing import Any

__version__ = "0.31.0"
WRITTEN = (40, 41, 42, 43, 44, 45, 46, 47)


def note(what: str, **told: Any) -> None:
    with open(os.environ["VLLM_CALLS"], "ab") as file:
        file.write(pickle.dumps((what, told)))  # at once: other processes write and read it


class RequestOutput:
    def __init__(self, prompt: list[int], tokens: list[int]):
        self.prompt_token_ids = prompt
        logprobs = [{token: SimpleNamespace(logprob=-1.0, rank=1)} for token in tokens]
        self.outputs = [SimpleNamespace(token_ids=tokens, logprobs=logprobs)]


class SamplingParams:
    def __init__(self, **settings: Any):
        self.settings = settings


class LLM:
    def __init__(self, **settings: Any):
        note("start", **settings)
        loads = SimpleNamespace(load_weights=self.load_weights)
        runner = SimpleNamespace(model_runner=SimpleNamespace(model=loads))
        executor = SimpleNamespace(driver_worker=runner)
        context = SimpleNamespace(max_model_len=settings["max_model_len"])
        self.llm_engine = SimpleNamespace(
            model_executor=executor,
            model_config=context,
            reset_encoder_cache=lambda: note("forget"),
        )

    def load_weights(self, named: list[tuple[str, Any]]) -> None:
        note("load", names=[name for name, _ in named])

    def reset_prefix_cache(self) -> None:
        note("reset")

    def sleep(self, level: int) -> None:
        note("sleep", level=level)

    def wake_up(self, tags: list[str]) -> None:
        note("wake", tags=tags)

    def generate(
        self, prompts: list[dict[str, Any]], sampling_params: SamplingParams, use_tqdm: bool
    ) -> list[RequestOutput]:
        assert not use_tqdm
        note("generate", prompts=prompts, sampling=sampling_params.settings)
        most = sampling_params.settings["max_tokens"]
        stop = sampling_params.settings["stop_token_ids"][0]
        found = []
        for i, prompt in enumerate(prompts):
            tokens = [*WRITTEN[: most - 1], WRITTEN[-1] if i % 2 else stop]
            found.append(RequestOutput(prompt["prompt_token_ids"], tokens))
        return found
