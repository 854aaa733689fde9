"""A plugin of the real vLLM: weights come in files of VLLM_WEIGHTS, since NCCL has no GPUs to go between.

The trainer's end is tests/vllm_stand_in/vllm/distributed/weight_transfer/packed_tensor.py.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from vllm import _custom_ops  # type: ignore[import-not-found]
from vllm.distributed.weight_transfer.factory import (  # type: ignore[import-not-found]
    WeightTransferEngineFactory,
)
from vllm.distributed.weight_transfer.nccl_engine import (  # type: ignore[import-not-found]
    NCCLWeightTransferEngine,
)

SECONDS = 60


class FromFiles(NCCLWeightTransferEngine):  # type: ignore[misc]
    """Of vLLM's engine, all but the transfer: the nth update takes the nth file."""

    def init_transfer_engine(self, init_info: Any) -> None:
        assert init_info.rank_offset == 1 and init_info.packed
        self.taken = 0

    def receive_weights(self, update_info: Any) -> None:
        file = Path(os.environ["VLLM_WEIGHTS"]) / f"{self.taken}.safetensors"
        self.taken += 1
        end = time.monotonic() + SECONDS
        while not file.exists():
            assert time.monotonic() < end, f"no {file}"
            time.sleep(0.05)
        sent = load_file(file)
        for name, dtype, shape in zip(
            update_info.names, update_info.dtype_names, update_info.shapes, strict=True
        ):
            assert (str(sent[name].dtype), list(sent[name].shape)) == (f"torch.{dtype}", shape)
        self.model.load_weights([(name, sent[name]) for name in update_info.names])


def register() -> None:
    """Take the place of vLLM's own engine; called in each of its processes."""
    # On CPUs vLLM multiplies with a copy of the weights made for oneDNN, which an update does not reach.
    _custom_ops._supports_onednn = False
    WeightTransferEngineFactory._registry["nccl"] = lambda: FromFiles
