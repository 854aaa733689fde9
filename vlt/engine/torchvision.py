"""torchvision with a torch that it was not built for.

PyPI has only the CUDA build of torchvision. With the CPU build of torch its compiled operators cannot be
loaded, and its import fails with "operator torchvision::nms does not exist". The image processors of
transformers need none of these operators: with two of them declared (and never called) torchvision
can be imported, and its Python transforms work.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys

_OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


@functools.cache
def trouble() -> str | None:
    """Why torchvision cannot be used here, with what to do; None if it can.

    Call it before transformers loads a model or a processor: transformers remembers what it finds
    missing at that point.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "is not installed; `pip install torchvision`"
    try:
        _import()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        import torch

        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return (
            f"does not match torch {torch.__version__} ({first}); install matching versions of both, "
            "from one index"
        )
    return None


def _import() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import torch

        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name, schema in _OPERATORS.items():
            torch.library.define(f"torchvision::{name}", schema)
        importlib.import_module("torchvision")
