"""What a person or a log sees while cells are measured.

The running score only describes: it is never a look. Looks happen at complete blocks and are made elsewhere;
short answers arrive first and are more often right, so the score drifts down within a block.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from rich.console import Console

from gate.report.progress.live import LiveProgress
from gate.report.progress.plain import PlainProgress
from gate.report.progress.protocol import Kept, Progress, SilentProgress
from gate.report.progress.tally import Clock

__all__ = ["Kept", "Progress", "SilentProgress", "progress_for"]


def progress_for(
    environ: Mapping[str, str],
    console: Console | None = None,
    stream: TextIO | None = None,
    clock: Clock = time.time,
) -> Progress:
    """Live on a terminal outside CI, plain lines elsewhere, with groups where GITHUB_ACTIONS is set.

    Both go to standard error unless told otherwise, so that standard output stays for results. A terminal
    that cannot move its cursor (TERM=dumb) gets lines.
    """
    in_actions = environ.get("GITHUB_ACTIONS") == "true"
    stream = stream or sys.stderr
    console = console or Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal and not in_actions and not environ.get("CI"):
        return LiveProgress(console, clock)
    return PlainProgress(stream, clock, github=in_actions)
