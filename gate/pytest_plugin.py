"""`pytest --gate-config-list configs/models-gfx950.txt`: a test per cell, its report the failure message.

Loaded by every pytest of an environment that has the gate, so it imports nothing until the option is given.
Every other option is `gate run`'s own, with `gate-` before its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from gate.cells import CellSpec
    from gate.model.result import CellResult, GateReport

VALUES: Final = (
    *("arch", "baselines", "out", "engine_command", "engine_image", "base_url", "served_model"),
    *("conversation_date", "engine_log", "model", "hf_home", "dataset_path", "cache", "concurrency"),
    *("container_cli", "container_user", "hang_seconds", "fail_on", "head_sha", "base_sha", "family_size"),
    "confirm_with",
    "confirm_with_image",
)
LISTS: Final = ("backend", "engine_env", "container_group", "accept_unproven")
FLAGS: Final = ("accept_wider_margin",)
OURS: Final = ("arch", "backend", "out", "fail_on", "family_size")
"""Options that are given anew for each cell."""

_LISTS: Final = pytest.StashKey[dict[Path, Path]]()
_WIDTH: Final = 110


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--gate-config-list`, and `gate run`'s options."""
    group = parser.getgroup("gate", "vllm-eval-gate")
    group.addoption(
        "--gate-config-list",
        action="append",
        metavar="FILE",
        help="a test for each cell of this list (*.txt) or config (*.yaml); may be repeated. Without other "
        "arguments, nothing else is collected. --gate-NAME is `gate run --NAME`:",
    )
    for names, action in ((VALUES, "store"), (LISTS, "append"), (FLAGS, "store_true")):
        for name in names:
            option = name.replace("_", "-")
            group.addoption(f"--gate-{option}", action=action, help=f"see `gate run --help`: --{option}")


def pytest_configure(config: pytest.Config) -> None:
    """Have the lists collected, where there are any."""
    given = config.getoption("gate_config_list")
    if not given:
        return
    if hasattr(config, "workerinput"):
        raise pytest.UsageError("--gate-config-list: cells share the GPUs of this machine; leave out -n")
    found: dict[Path, Path] = {}
    for text in given:
        path = config.invocation_params.dir / text
        if not path.is_file():
            raise pytest.UsageError(f"--gate-config-list: there is no file {text}")
        found[path.resolve()] = Path(text)
    config.stash[_LISTS] = found
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    config.args = [*named, *map(str, found)]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A list that was asked for is a file of tests."""
    lists = parent.config.stash.get(_LISTS, {})
    if file_path.resolve() not in lists:
        return None
    return CellList.from_parent(parent, path=file_path)


class CellList(pytest.File):
    """The cells of a list or config."""

    def collect(self) -> Iterator[CellTest]:
        """One test a cell."""
        from gate.cells import cells_of
        from gate.errors import GateError

        option = self.config.getoption
        arch = option("gate_arch") or "auto"
        try:
            specs = cells_of(
                [self.path],
                arch=None if arch == "auto" else arch,
                backends=tuple(option("gate_backend") or ()),
                unknown_arch="auto",  # the machine is asked when the cell runs
            )
        except GateError as error:
            raise self.CollectError(str(error)) from error
        for spec in specs:
            yield CellTest.from_parent(self, name=str(spec.cell), spec=spec, family_size=len(specs))


class CellTest(pytest.Item):
    """Measures one cell and fails with its report; what decides nothing is skipped, never passed."""

    def __init__(self, *, spec: CellSpec, family_size: int, **keywords: Any) -> None:  # noqa: ANN401
        super().__init__(**keywords)
        self.spec = spec
        self.family_size = family_size

    def runtest(self) -> None:
        """Serve, ask, decide."""
        from functools import partial

        from gate.cli.output import progress
        from gate.cli.requests import parsed_request
        from gate.model.result import Verdict
        from gate.run import run_cells

        report = run_cells(parsed_request(self.arguments()), partial(progress, quiet=False))
        (result,) = report.cells
        self._note(result)
        self._go_no_further_if_cancelled(result)
        if result.verdict in report.fail_on:
            raise CellFailedError(report)
        if result.verdict is not Verdict.PASS:
            pytest.skip(f"{result.verdict}: {result.reason}")

    def arguments(self) -> list[str]:
        """The arguments of `gate run` for this cell."""
        option = self.config.getoption
        cell = self.spec.cell
        found = [self.spec.source, "--backend", cell.backend, "--arch", cell.arch]
        found += ["--out", str(self.out), "--fail-on", option("gate_fail_on") or "default"]
        found += ["--family-size", str(option("gate_family_size") or self.family_size)]
        for name in (*VALUES, *LISTS, *FLAGS):
            value = None if name in OURS else option(f"gate_{name}")
            words = value if isinstance(value, list) else [value] if value else []
            for word in words:
                found += [f"--{name.replace('_', '-')}", *([] if word is True else [word])]
        return found

    @property
    def out(self) -> Path:
        """Where this cell leaves its record, report and log."""
        return Path(self.config.getoption("gate_out") or "out") / self.spec.cell.file_stem

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        """The report, or what could not be done; a traceback for bugs only."""
        from gate.errors import GateError

        if isinstance(excinfo.value, CellFailedError | GateError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The list and the cell."""
        return self.path, None, self.name

    def _note(self, result: CellResult) -> None:
        """What a JUnit file says of the cell."""
        for name in ("verdict", "score", "baseline_score", "difference", "samples_used"):
            value = getattr(result, name)
            if value is not None:
                self.user_properties.append((name, str(value)))

    def _go_no_further_if_cancelled(self, result: CellResult) -> None:
        """The gate turns a signal into a result; pytest has to hear of it, or the next cell would begin."""
        from gate import records
        from gate.outputs import Outputs

        record = records.read(records.record_path(Outputs(self.out).records, result.cell))
        if record.failure is not None and record.failure.kind == "cancelled":
            raise KeyboardInterrupt


class CellFailedError(Exception):
    """A cell whose verdict fails the test; its text is the report."""

    def __init__(self, report: GateReport) -> None:
        super().__init__(report.verdict)
        self.report = report

    def __str__(self) -> str:
        import io

        from rich.console import Console

        from gate.report.terminal import print_report

        text = io.StringIO()
        print_report(self.report, Console(file=text, width=_WIDTH, no_color=True))
        return text.getvalue().rstrip()
