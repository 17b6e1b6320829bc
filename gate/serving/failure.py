"""How a dying engine is recognised in its log, and how its end is told."""

from __future__ import annotations

import re
from typing import Final

# Read from vLLM 0.32.0: v1/engine/{core,utils,core_client}.py, v1/executor/multiproc_executor.py.
_CRASH: Final = re.compile(
    r"EngineCore encountered a fatal error\.|EngineCore failed to start\.|Engine core initialization failed\."
    r"|Worker proc \S+ died unexpectedly|engine core exited unexpectedly|EngineDeadError"
)
_EXCEPTION: Final = re.compile(
    r"(?:^|\s)(?P<name>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|OutOfMemory\w*)): \S"
)
# Says that something failed elsewhere; the line that says what comes earlier.
_CONSEQUENCE: Final = re.compile(
    r"Engine core initialization failed|EngineDeadError|EngineCore encountered"
    r"|WorkerProc initialization failed|RuntimeError: cancelled$"
)


def crash_line(line: str) -> bool:
    """Whether the engine says in this line that it is dying or dead."""
    return _CRASH.search(line) is not None


def is_root_cause(line: str) -> bool:
    """Whether this line names an exception that is not merely the consequence of another."""
    # Looked for in every line of a log that may be a gigabyte: the expression alone costs twice as much.
    if "Error: " not in line and "Exception: " not in line and "OutOfMemory" not in line:
        return False
    return _EXCEPTION.search(line) is not None and _CONSEQUENCE.search(line) is None


def tell(what: str, *, crash: str | None, cause: str | None, last: tuple[str, ...]) -> str:
    """The message of an `EngineError`: what happened, the engine's own words, the log's last lines."""
    parts = [what]
    if cause is not None:
        parts.append(f"cause: {cause}")
    if crash is not None and crash != cause:
        parts.append(f"the engine said: {crash}")
    if last:
        parts.append("last lines of its log:")
        parts += [f"  | {line}" for line in last]
    else:
        parts.append("its log is empty")
    return "\n".join(parts)
