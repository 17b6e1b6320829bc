"""The two demos: the real vLLM, the committed checkpoint, the committed baseline."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import EmbeddedEngine
from tests.support.docs import gate_commands
from tests.support.left_behind import nothing_left_behind
from tests.support.project import finished
from tests.support.waiting import PATIENCE

CELL = "cpu/tiny-gpt-oss-w4a8/emulation"


def make(root: Path, target: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile, its output folder elsewhere."""
    return subprocess.run(
        ["make", "-C", str(root), target, f"OUT={out}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_same_checkpoint_through_a_broken_kernel_ends_red_and_names_the_cell(
    root: Path, tmp_path: Path, embedded_engine: EmbeddedEngine
):
    with nothing_left_behind():
        done = make(root, "demo-regression", tmp_path)
    assert done.returncode != 0
    assert "Error 1" in done.stderr, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / "demo-regression/report.json").read_text())
    assert (report["verdict"], report["exit_code"]) == ("regression", 1)
    (cell,) = report["cells"]
    assert cell["samples_used"] < cell["samples_budget"]
    assert CELL in done.stdout
    assert_no_question_text(embedded_engine.dataset, tmp_path, done.stdout + done.stderr)


def test_the_demo_passes_with_proof_of_what_ran(root: Path, tmp_path: Path, embedded_engine: EmbeddedEngine):
    done = make(root, "demo", tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / "demo/report.json").read_text())
    (cell,) = report["cells"]
    assert cell["verdict"] == "pass"
    facts = cell["evidence"]["facts"]
    assert (facts["moe"], facts["scheme"], facts["activation"]) == ("EMULATION", "w_mxfp4_a_fp8", "fp8")
    # The pages that tell to decide again from the records of the demo.
    for page in ("docs/tutorial.md", "docs/how-to/read-a-red-comment.md"):
        (check,) = [words for words in gate_commands(page) if words[0] == "check"]
        there = [str(tmp_path / word[4:]) if word.startswith("out/") else word for word in check]
        again = finished([sys.executable, "-m", "gate", *there], root)
        assert (again.code, f"pass: {CELL}" in again.out) == (0, True), again
    assert_no_question_text(embedded_engine.dataset, tmp_path, done.stdout + done.stderr)


def assert_no_question_text(dataset: Path, folder: Path, printed: str) -> None:
    """None of the served questions is in anything printed or written: GPQA must not be republished."""
    with dataset.open(newline="", encoding="utf-8") as rows:
        questions = [row["Question"] for row in csv.DictReader(rows)]
    assert len(questions) > 100
    written = {path: path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert any(path.suffix == ".log" for path in written)
    for name, text in {"printed": printed, **written}.items():
        assert not [question for question in questions if question in text], name
