from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from vllm import note


def packed_nccl_broadcast_producer(
    iterator: Iterator[Any], group: Any, src: int, post_iter_func: Callable[[Any], Any]
) -> None:
    assert group is not None and src == 0
    sent = [(name, list(post_iter_func((name, value)).shape)) for name, value in iterator]
    note("sent", weights=sent)
