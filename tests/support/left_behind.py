"""What a command leaves running, whatever else runs on the machine meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from gate.serving.warden import PR_SET_CHILD_SUBREAPER, prctl


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Whatever the block starts has ended with it, and what that started: orphans come to this process."""
    mine = psutil.Process()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    before = set(mine.children(recursive=True))
    try:
        yield
        left = [process for process in mine.children(recursive=True) if process not in before]
        _, alive = psutil.wait_procs(left, timeout=0)
        assert not alive, alive
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)
