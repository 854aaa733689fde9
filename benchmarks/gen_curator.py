"""The workload of benchmarks/gen.py with bespokelabs-curator; run by it in curator's own venv.

ROWS, URL and CURATOR_CACHE_DIR come from the environment. Curator downloads a token-limit file when it
starts, so it is pointed to its own copy instead.
"""

from __future__ import annotations

import glob
import os
import random
import sys

os.environ.setdefault("TELEMETRY_ENABLED", "0")
os.environ.setdefault("CURATOR_VIEWER", "0")
os.environ.setdefault("CURATOR_DISABLE_RICH_DISPLAY", "1")
os.environ.setdefault("OPENAI_API_KEY", "x")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
for _folder in glob.glob(
    f"{sys.prefix}/lib/python3*/site-packages/litellm/**/tokenizers", recursive=True
):
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", _folder)

from bespokelabs import curator  # noqa: E402
from datasets import Dataset  # noqa: E402

SYSTEM = (
    "You are a careful reasoner. Think inside <think></think>, answer inside <answer></answer>."
)
WORDS = (
    "triangle circle angle chart axis value measure compare between percent the of a in which "
    "shows label height width length red blue largest smallest total sum what is for each year"
)


def question(i: int) -> str:
    """As in benchmarks/gen.py."""
    return f"[[{i:07d}]] " + " ".join(random.Random(i).choices(WORDS.split(), k=230))


class Answers(curator.LLM):
    """One answer to each question."""

    def prompt(self, row: dict[str, int]) -> list[dict[str, str]]:
        """System and user text."""
        return [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question(row["i"])},
        ]

    def parse(self, row: dict[str, int], response: str) -> dict[str, object]:
        """The response as it is."""
        return {"i": row["i"], "response": response}


if __name__ == "__main__":
    rows = int(os.environ["ROWS"])
    limits = {"max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10}
    asked = Answers(
        model_name="stub",
        backend="openai",
        backend_params={
            "base_url": os.environ["URL"],
            "max_concurrent_requests": 64,
            "max_retries": 5,
            "request_timeout": 20,
            **limits,
        },
    )(Dataset.from_dict({"i": list(range(rows))}))
    made = getattr(asked, "dataset", asked)
    assert len(made) == rows
