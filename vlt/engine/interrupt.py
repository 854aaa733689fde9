"""Ctrl-C, or the SIGTERM of a job scheduler, while a private event loop runs."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Whether the process was asked to stop."""

    pressed = False


@contextmanager
def caught_interrupt(loop: asyncio.AbstractEventLoop) -> Iterator[Interrupt]:
    """Make SIGINT and SIGTERM stop the loop instead of raising in the middle of some line.

    The caller that runs the loop can then raise KeyboardInterrupt at a safe point, after everything
    that has arrived was handed over. Outside the main thread, where Python delivers no signals, this
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
    """From now on SIGTERM acts like ctrl-C: resources are closed, and a message says how to continue."""

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, end)
