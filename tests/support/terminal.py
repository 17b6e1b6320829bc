"""A command on a terminal: a pseudo-terminal that somebody reads and types at."""

from __future__ import annotations

import errno
import os
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CTRL_C = "\x03"


class Terminal:
    """A process whose input, output and errors are one terminal of 140 x 40."""

    def __init__(self, command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._screen, keyboard = os.openpty()
        size = {"COLUMNS": "140", "LINES": "40", "TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environ, **size},
            preexec_fn=lambda: os.login_tty(keyboard),  # noqa: PLW1509 - pytest has no other thread
        )
        os.close(keyboard)
        self.raw = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)

    @property
    def text(self) -> str:
        """Everything that was ever drawn, without colours and movements of the cursor."""
        return _SEQUENCE.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press keys; Ctrl-C reaches whoever is in the foreground, as a signal."""
        os.write(self._screen, keys.encode())

    def read_until(self, said: str, timeout: float = 60) -> None:
        """Read until this was drawn."""
        while said not in self.text:
            assert self._read(timeout), f"{said!r} never came:\n{self.text}"

    def wait(self, timeout: float = 60) -> int:
        """Read to the end; the exit code."""
        while self._read(timeout):
            pass
        return self.process.wait(timeout)

    def _read(self, timeout: float) -> bool:
        """Read what is there, or wait for it; False at the end. Fails when nothing comes in `timeout` s."""
        end = time.monotonic() + timeout
        while not select.select([self._screen], [], [], max(0.0, end - time.monotonic()))[0]:
            assert time.monotonic() < end, self.text
        try:
            data = os.read(self._screen, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # what Linux says when the last process has closed it
                raise
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
