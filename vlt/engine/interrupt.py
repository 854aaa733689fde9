"""Ctrl-C while a private event loop runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Whether ctrl-C was pressed."""

    pressed = False


@contextmanager
def caught_interrupt(loop: asyncio.AbstractEventLoop) -> Iterator[Interrupt]:
    """Let ctrl-C stop the loop instead of breaking off whatever line is being run.

    So whoever runs the loop can raise KeyboardInterrupt at a place of its own, with all that has
    arrived handed over. Elsewhere than in the main thread, where Python delivers no signals, it
    does nothing.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def press() -> None:
        interrupt.pressed = True
        loop.stop()

    before = signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, press)
    try:
        yield interrupt
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        if before is not None:  # None: set by something that is not Python
            signal.signal(signal.SIGINT, before)
