"""TRL asks for this machine's address right before it demands a CUDA device, which it finds from then on."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any


class Torch:
    """The module torch, as if its devices were GPUs."""

    def __init__(self, torch: Any):
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def device(self, *_: object) -> Any:
        return SimpleNamespace(type="cuda", index=None)


def get_ip() -> str:
    from trl.generation import vllm_client

    vllm_client.torch = Torch(vllm_client.torch)
    return os.environ.get("VLLM_HOST_IP", "127.0.0.1")
