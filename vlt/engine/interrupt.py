"""Ctrl-C, or the SIGTERM of a job scheduler, while a private event loop runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether the process was asked to end."""

    pressed = False


@contextmanager
def caught_interrupt(loop: asyncio.AbstractEventLoop) -> Iterator[Interrupt]:
    """Let SIGINT and SIGTERM stop the loop instead of breaking off whatever line is being run.

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

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, press)
    try:
        yield interrupt
    finally:
        for number, action in before.items():
            loop.remove_signal_handler(number)
            if action is not None:  # None: set by something that is not Python
                signal.signal(number, action)


def end_on_sigterm() -> None:
    """From here on SIGTERM is as ctrl-C: what is open is closed, and a sentence says how to go on."""

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
