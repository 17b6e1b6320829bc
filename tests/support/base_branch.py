"""A base branch in miniature (a config, two backends, their baselines), and run records of a head of it."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import yaml

from gate.baseline import store
from gate.baseline.collect import add_run
from gate.baseline.pool import reference_of
from gate.cells import CellSpec, cells_of
from gate.decide import next_step, plan_budget, plan_sequence
from gate.github.received import Heads
from gate.github.redecide import Base
from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.record import RunRecord
from gate.reporting import DEFAULT_FAIL_ON
from gate.sequence import candidate_stream
from tests.support.measured import fingerprint, question_ids, run_record

HEADS = Heads("1" * 40, "2" * 40)
QUESTIONS = 60
CONFIG: dict[str, Any] = {
    "model_name": "amd/gpt-oss-20b",
    "metric_threshold": 0.5,
    "task": {"name": "gpqa_diamond", "endpoint": "responses"},
    "gate": {"margin": 0.1},
    "expect": {"moe": "AITER_MXFP4_FP8"},
}


class BaseBranch:
    """A folder with configs/c.yaml and baselines/ of its two cells."""

    def __init__(self, folder: Path, heads: Heads = HEADS) -> None:
        self.folder = folder
        self.heads = heads
        self.config = folder / "configs/c.yaml"
        self.baselines = folder / "baselines"
        self.questions = question_ids(QUESTIONS)
        self.config.parent.mkdir(parents=True)
        self.write_config()
        for number, spec in enumerate(self.specs):
            self._store_baseline(spec.cell, seed=10 * number)

    def write_config(self, **changes: Any) -> None:
        """configs/c.yaml with these keys changed."""
        settings = CONFIG | {"backends": {"aiter": {}, "triton": {}}} | changes
        self.config.write_text(yaml.safe_dump(settings))

    @property
    def specs(self) -> tuple[CellSpec, ...]:
        """Every cell of the base branch."""
        return cells_of([self.config], arch="gfx950")

    def base(self, **changes: Any) -> Base:
        """What the base branch says of a pull request that changes one source file."""
        values: dict[str, Any] = {
            "specs": self.specs,
            "baselines": self.baselines,
            "event": "pull_request",
            "changed": ("vllm/layer.py",),
            "fail_on": DEFAULT_FAIL_ON,
        }
        return Base(**(values | changes))

    def record(self, spec: CellSpec, *, shift: float = 0.0, seed: int = 7, **changes: Any) -> RunRecord:
        """A record that keeps to the plan and stops where a run would; each answer as likely right as in the
        baseline, plus `shift`."""
        reference = reference_of(self.baselines, spec.cell)
        assert reference is not None
        family = len(self.base().selected)
        budget = plan_budget(reference, spec.gate, family_size=family, chance=spec.task.chance)
        stream = candidate_stream(*self.heads, str(spec.cell))
        plan = plan_sequence(reference, budget, question_order_seed=stream)
        draw = Random(seed)  # noqa: S311
        chances = [min(max(k / reference.repeats + shift, 0), 1) for k in reference.correct]
        table: list[list[str]] = []
        for block, columns in zip(plan.blocks, plan.columns, strict=True):
            table += [["."] * QUESTIONS for _ in range(block.repeat + 1 - len(table))]
            for column in columns:
                table[block.repeat][column] = "1" if draw.random() < chances[column] else "0"
            if next_step(plan, ["".join(row) for row in table]).stop:
                break
        rows = tuple("".join(row) for row in table)
        values: dict[str, Any] = {
            "purpose": "gate",
            "cell": spec.cell,
            "family_size": family,
            "alpha": budget.alpha,
            "alpha_pass": budget.alpha_pass,
            "margin": budget.margin,
            "tolerated_loss": budget.tolerated_loss,
            "baseline_repeats": reference.repeats,
            "max_repeats": budget.max_repeats,
            "baseline_sha256": reference.sha256,
            "question_order_seed": stream,
            "stream": stream,
            "fingerprint": reference.fingerprint,
            "provenance": {"launcher": "container", "commit": self.heads.head_sha},
            "evidence": Evidence(facts={"moe": "AITER_MXFP4_FP8", "activation": "fp8"}, source="log"),
            "questions": self.questions,
            "look_at": plan.look_at,
            "outcomes": rows,
            "tokens": tuple(tuple(0 if c == "." else 900 for c in row) for row in rows),
            "finish": tuple("".join("." if c == "." else "s" for c in row) for row in rows),
            "generated": sum(c != "." for row in rows for c in row),
            "seconds": 61.5,
            "gpus": 1,
            "threshold": 0.5,
        }
        return RunRecord(**(values | changes))

    def _store_baseline(self, cell: Cell, seed: int) -> None:
        grown = None
        mark = fingerprint(self.questions, cell=cell)
        for number in range(2):
            record = run_record(seed + number, total=QUESTIONS, repeats=32, cell=cell, fingerprint=mark)
            grown = add_run(
                grown, record, accepted_by="octocat", reason="the first collection", date="2026-11-23"
            )
        assert grown is not None
        store.save(store.baseline_path(self.baselines, cell), grown, replaces=None)


def dumped(record: RunRecord) -> dict[str, Any]:
    """A record as the JSON value that is uploaded."""
    return record.model_dump(mode="json", by_alias=True)


def zipped(path: Path, files: Mapping[str, bytes | str], *, mode: int = stat.S_IFREG | 0o644) -> Path:
    """A zip file of these; every entry has this file mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    path.write_bytes(buffer.getvalue())
    return path


def artifact(path: Path, *found: RunRecord | dict[str, Any]) -> Path:
    """What a job uploads: its run records, zipped. A changed record may be given as a JSON value."""
    values = [dumped(record) if isinstance(record, RunRecord) else record for record in found]
    names = ["__".join(value["cell"][part] for part in ("arch", "config", "backend")) for value in values]
    return zipped(path, {f"{n}.json": json.dumps(v) for n, v in zip(names, values, strict=True)})
