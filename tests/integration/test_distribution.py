"""What `make dist` makes: the same bytes each time, and a wheel that has everything `gate` needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.act import checkout, git
from tests.support.workflows import ROOT

HATCHLING = Path(sys.executable).parent / "hatchling"


def build(source: Path, out: Path) -> dict[str, str]:
    """Both archives of a checkout, as `make dist` builds them; name -> SHA-256."""
    subprocess.run([HATCHLING, "build", "--directory", out], cwd=source, capture_output=True, check=True)
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archives of this checkout as it is now, built in a clone of it."""
    folder = tmp_path_factory.mktemp("built")
    build(checkout(folder / "source"), folder / "dist")
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that holds the wheel alone; what it depends on comes from these tests' own."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (wheel,) = (built / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--disable-pip-version-check", wheel], check=True)
    return venv / "bin"


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command outside any checkout, with the tests' own libraries behind the environment's."""
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": libraries}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def test_the_makefile_builds_so_too():
    assert "\t$(BIN)/hatchling build --directory dist\n" in (ROOT / "Makefile").read_text()


def test_two_checkouts_of_one_commit_give_the_same_bytes(built: Path, tmp_path: Path):
    git(tmp_path, "clone", "--quiet", str(built / "source"), "again")
    for path in (tmp_path / "again").rglob("*.py"):  # another clock and another umask
        path.chmod(0o600)
        os.utime(path, (1, 1))
    again = build(tmp_path / "again", tmp_path / "dist")
    first = {path.name: sha256(path.read_bytes()).hexdigest() for path in (built / "dist").iterdir()}
    assert again == first
    assert len(first) == 2


def test_the_wheel_runs_where_there_is_no_checkout(installed: Path, tmp_path: Path):
    said = run([installed / "gate", "--version"], tmp_path)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (said.returncode, said.stdout) == (0, f"vllm-eval-gate {version}\n"), said.stderr
    where = run([installed / "python", "-c", "import gate; print(gate.__file__)"], tmp_path)
    assert Path(where.stdout).is_relative_to(installed.parent)


def test_the_wheel_has_the_files_that_commands_read(installed: Path, tmp_path: Path):
    set_up = run([installed / "gate", "init", "--gate", "acme/gate@" + "1" * 40], tmp_path)
    assert set_up.returncode == 0, set_up.stderr
    assert (tmp_path / ".github/workflows/gate.yml").exists()
    checked = run([installed / "gate", "config", "check", "configs/models-gfx950.txt"], tmp_path)
    assert checked.returncode == 0, checked.stderr
    (package,) = installed.parent.glob("lib/*/site-packages/gate")
    for name in (
        *("embedded/checkpoint/model.safetensors", "embedded/plugin/pyproject.toml"),
        *("numerics/prompts/gpt-oss.json", "report/report.schema.json", "report/templates/report.md.j2"),
    ):
        assert (package / name).read_bytes() == (ROOT / "gate" / name).read_bytes()


def test_the_sdist_has_what_a_rebuild_and_the_tests_need(built: Path):
    (archive,) = (built / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as held:
        names = {name.partition("/")[2] for name in held.getnames()}
    assert {"LICENSE", "README.md", "Makefile", "tests/README.md", "examples/workflows/gate.yml"} <= names
    assert not any(name.startswith((".venv", ".cache", "out/", "node_modules")) for name in names)
