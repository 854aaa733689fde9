"""A real vLLM is asked what TRL asked of the stand-in: for the environment of environment.py.

    python replay.py CALLS.pickle

prints a line of JSON for each prompt: its tokens as vLLM read them, and the likeliest first tokens.
"""

import json
import multiprocessing
import pickle
import sys
from typing import Any

_CONTEXT = multiprocessing.get_context
TOP = 20
ALL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": 1, "logprobs": TOP, "seed": 0}
"""In place of TRL's: no token is left out of the probabilities."""


def _forking(method: str | None = None) -> Any:
    return _CONTEXT("fork" if method == "spawn" else method)  # see forked.py


def _calls(file: str) -> Any:
    with open(file, "rb") as opened:
        while True:
            try:
                yield pickle.load(opened)
            except EOFError:
                return


if __name__ == "__main__":
    multiprocessing.get_context = _forking  # type: ignore[assignment]
    from vllm import LLM, SamplingParams  # type: ignore[attr-defined]

    calls = list(_calls(sys.argv[1]))
    (start,) = [told for what, told in calls if what == "start"]
    kept = ("model", "max_model_len", "max_num_batched_tokens", "logprobs_mode", "model_impl")
    llm = LLM(**{name: start[name] for name in kept}, dtype="float32", enforce_eager=True)
    for what, told in calls:
        if what == "generate":
            sampling = SamplingParams(**{**told["sampling"], **ALL})
            for found in llm.generate(told["prompts"][:1], sampling, use_tqdm=False):
                (first,) = found.outputs[0].logprobs
                likely = {token: value.logprob for token, value in first.items()}
                print(json.dumps({"tokens": found.prompt_token_ids, "likely": likely}))
