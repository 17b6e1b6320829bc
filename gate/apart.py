"""A function in a process of its own, whose exit status is not believed: only what it answers counts.

Ray's core ends a driver whose cluster's head is gone with `_exit(1)`, past every handler and `atexit`, and
1 is the exit code of a regression. So the driver runs apart; what it has not answered was not measured.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from gate.errors import EngineError, Exit, GateError

PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Answer = TypeVar("Answer")


def apart(function: Callable[..., Answer], *arguments: Any) -> Answer:  # noqa: ANN401 - the function's
    """What a function returns in another process, which has this one's output, folder and environment.

    That process has a group of its own: of Ctrl-C, as of every signal, it hears from here alone, as SIGTERM,
    which needs no handler to end it quietly. It ends when this one does, however this one ends.

    Raises:
        GateError: what the function raised.
        EngineError: the process ended without an answer.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gate.apart", str(writing)]
    said: list[Answer | GateError] = []
    with (
        suppress(BrokenPipeError),  # it ended before it was told what to do
        os.fdopen(reading, "rb") as answers,
        subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writing], process_group=0) as process,
        _passed_on(process) as received,
    ):
        os.close(writing)
        _send((function, arguments), process.stdin)
        with suppress(EOFError, pickle.UnpicklingError):  # nothing, or cut short
            said.append(pickle.load(answers))  # noqa: S301 - from our own child, over a pipe of ours
        process.wait()
    if not said:
        raise _unanswered(process.returncode, received)
    if isinstance(said[0], GateError):
        raise said[0]
    return said[0]


def _send(message: object, file: Any) -> None:  # noqa: ANN401 - Popen's, or a file
    pickle.dump(message, file)
    file.flush()


def _unanswered(status: int, received: list[signal.Signals]) -> EngineError:
    """Why there is no answer, as far as that can be known."""
    again = "the same command goes on from the journals"
    if received:
        return EngineError(f"stopped by {received[0].name} before there was a result", hint=again)
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
    return EngineError(
        f"the process that drives the Ray cluster {how} and without a result",
        hint=f"unless a traceback says why, the cluster's head is gone: start it again, and {again}",
    )


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[list[signal.Signals]]:
    """Pass signals on to a process as SIGTERM; yields those received so far."""
    received: list[signal.Signals] = []

    def handle(number: int, _frame: object) -> None:
        received.append(signal.Signals(number))
        process.terminate()

    previous = {number: signal.signal(number, handle) for number in PASSED_ON}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def main(arguments: list[str]) -> None:
    """Read function and arguments from standard input, and write the answer to the descriptor named."""
    answers = int(arguments[1])
    os.set_inheritable(answers, False)
    function, given = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent, over a pipe of its
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer = function(*given)
    except GateError as error:
        answer = error
    with os.fdopen(answers, "wb") as file:
        _send(answer, file)


def _end_with_parent() -> None:
    """End this process when the other end of standard input is closed."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(Exit.NOT_MEASURED)


if __name__ == "__main__":
    main(sys.argv)
