"""SIGTERM as cancellation, so that what Ctrl-C cleans up, a cancelled job cleans up too."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cancelled_by_signals(
    told: Callable[[], None] = lambda: None,
    numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
) -> Iterator[list[signal.Signals]]:
    """While the block runs, a signal cancels the current task; later ones are noted and change nothing.

    GitHub Actions sends SIGINT, SIGTERM 7.5 s later and SIGKILL 2.5 s after that: stopping the engine
    goes on after the first and must not be torn by the second.

    Args:
        told: called at the first signal, before anything is cancelled.
        numbers: the signals.

    Yields:
        The signals received so far, first one first.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    received: list[signal.Signals] = []

    def handle(number: signal.Signals) -> None:
        received.append(number)
        if len(received) > 1:
            return
        told()
        if task is not None:
            task.cancel(f"received {number.name}")

    previous = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        loop.add_signal_handler(number, handle, number)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
