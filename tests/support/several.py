"""Three cells, their baselines, and `gate run` of all of them."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

from gate import records
from gate.baseline import store
from gate.baseline.collect import add_run
from gate.model.cell import Cell
from tests.support.project import STORED, Project, environment

GOOD = ("--accuracy", "0.6")
CONFIGS = ("second", "third", "stub")  # in the order of `arguments`


class Several(Project):
    """A project of three cells with these baselines."""

    def __init__(self, folder: Path, baselines: Path) -> None:
        super().__init__(folder)
        shutil.copytree(baselines, folder / "baselines")
        for name in CONFIGS[:2]:
            (folder / f"configs/{name}.yaml").write_text(self.config.read_text())

    @property
    def others(self) -> list[str]:
        """The configs that `arguments` does not name itself."""
        return [f"configs/{name}.yaml" for name in CONFIGS[:2]]

    def start(self, *options: str, engine: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """`gate run` of all three."""
        return subprocess.Popen(
            [*self.arguments("run", *self.others, engine=engine), *options],
            cwd=self.folder,
            env=environment() | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def files(self, folder: str, suffix: str, arch: str = "cpu") -> list[Path]:
        """One file a cell."""
        return [self.folder / f"out/{folder}/{arch}__{name}__default.{suffix}" for name in CONFIGS]


def stored_baselines(folder: Path) -> Path:
    """One collected baseline, as that of all three cells on a CPU and on GPUs."""
    project = Project(folder)
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    record = records.read(project.folder / "out/run-1/records/cpu__stub__default.json")
    root = project.folder / "all"
    for arch, name in itertools.product(("cpu", "sm90", "gfx950"), CONFIGS):
        cell = Cell(arch=arch, config=name, backend="default")
        mark = record.fingerprint.model_copy(update={"cell": cell})
        same = record.model_copy(update={"cell": cell, "fingerprint": mark})
        made = add_run(None, same, accepted_by="tester", reason="first", date="2026-11-24")
        store.save(store.baseline_path(root, cell), made, replaces=None)
    return root
