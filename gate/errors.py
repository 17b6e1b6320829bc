"""The errors of the gate: each says what happened, where, and what to do next."""

from __future__ import annotations

from enum import IntEnum
from functools import partial


class Exit(IntEnum):
    """Exit codes of every command (design.md section 2)."""

    PASS = 0
    REGRESSION = 1
    USAGE = 2
    UNDECIDED = 3
    NOT_MEASURED = 4


class GateError(Exception):
    """Something a user can act on; caught once, in `gate.cli`, and printed without a traceback.

    Args:
        message: what happened.
        where: file:line, URL or cell.
        hint: what to do next.
    """

    exit_code: Exit = Exit.NOT_MEASURED

    def __init__(self, message: str, *, where: str | None = None, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    @property
    def located(self) -> str:
        """What happened and where, without what to do next."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are made anew from `args` when they cross processes, and these take keywords.
        return partial(type(self), self.message, where=self.where, hint=self.hint), ()

    def __str__(self) -> str:
        return f"{self.located}\n  {self.hint}"


class UsageError(GateError):
    """The command line asks for something that cannot be done."""

    exit_code = Exit.USAGE


class ConfigError(GateError):
    """A config, list or runner file is wrong."""

    exit_code = Exit.USAGE


class DatasetError(GateError):
    """The question set is missing, altered or lacks a column."""

    exit_code = Exit.USAGE


class BaselineError(GateError):
    """A baseline file cannot be read, or must not be written."""

    exit_code = Exit.USAGE


class RecordError(GateError):
    """A run record or journal contradicts itself."""


class StorageError(RecordError):
    """What was measured cannot be kept: the disk is full, or the folder cannot be written to."""


class StatisticsError(GateError):
    """The statistics are not defined for these numbers."""

    exit_code = Exit.USAGE


class MeasurementError(GateError):
    """The cell could not be measured: its verdict is `not_measured`, never a low score."""


class EngineError(MeasurementError):
    """The engine failed to start, died, hung or answered nonsense."""


class EngineLost(EngineError):
    """The engine was well and then died, hung or could no longer be reached: another start may help."""


class HostLost(EngineLost):
    """The machine went away with the engine on it, which says nothing about the engine."""


class GitHubError(GateError):
    """GitHub could not be reached, or said no."""


class HeadMovedError(GitHubError):
    """The pull request has a newer head than the one this is about."""
