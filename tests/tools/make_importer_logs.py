"""Makes tests/data/importers/*: logs that four other harnesses really wrote.

    python -m tests.tools.make_importer_logs [lm-eval|inspect|gpt-oss|evalscope ...] [--venvs DIR]

Each harness is installed from PyPI into an environment of its own below --venvs (a few hundred MB; what is
there already is used). They ask tests/support/answering_server.py, on this machine, the toy questions of
gate/embedded/questions.py, in GPQA's form and columns; no GPQA text is in them. Three runs each: `baseline`
and `healthy` answer 9 in 10 right, `broken` 3 in 10. Not part of `make test`.

lm-eval asks a question once a run, so a run of four repeats is four runs of it, each with its own seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gate.embedded.questions import evaluation, write_rows

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests/data/importers"
# A path that says nothing of the machine: some logs hold where they ran.
WORK = Path(tempfile.gettempdir()) / "importer-logs"
PORT = 18765
URL = f"http://127.0.0.1:{PORT}/v1"
MODEL = "stub/model"
QUESTIONS, REPEATS = 12, 4


class Run(NamedTuple):
    """One run of a harness and how well the server answers it."""

    name: str
    accuracy: float
    seed: int


RUNS = (Run("baseline", 0.9, 1), Run("healthy", 0.9, 2), Run("broken", 0.3, 3))

LM_EVAL_TASK = """\
include: {package}/tasks/gpqa/cot_zeroshot/_gpqa_cot_zeroshot_yaml
task: toy_gpqa
tag: toy
dataset_path: json
dataset_name: null
dataset_kwargs:
  data_files: {{train: questions.jsonl}}
"""

INSPECT_TASK = '''\
"""The toy questions as inspect_evals asks GPQA: multiple choice after a chain of thought."""

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import Sample, csv_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import choice
from inspect_ai.solver import multiple_choice

OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def sample(record):
    return Sample(input=record["Question"], choices=[record[name] for name in OPTIONS], target="A")


@task
def toy_gpqa():
    return Task(
        dataset=csv_dataset("questions.csv", sample, shuffle_choices=42),
        solver=[multiple_choice(cot=True)],
        scorer=choice(),
        epochs=Epochs(4, "mean"),
        config=GenerateConfig(temperature=1.0, max_tokens=512),
    )
'''

# Its address of GPQA is fixed: the one thing that is replaced is what pandas reads.
GPT_OSS = """\
import pandas
from gpt_oss.evals import __main__ as evals

read = pandas.read_csv
pandas.read_csv = lambda _address: read("questions.csv", dtype=str)
evals.main()
"""


class Harness(NamedTuple):
    """How one harness is installed and run, and how it wants an answer to be said."""

    packages: tuple[str, ...]
    style: str
    runs: Callable[[Path, Run], None]
    extras: Callable[[Path], None]
    no_dependencies: str | None = None


def call(*words: object) -> None:
    """Run a harness in the work folder with nothing of this machine in its environment."""
    command = [str(word) for word in words]
    print("$", " ".join(command), flush=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(WORK / "home"),
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "none",
    }
    subprocess.run(command, cwd=WORK, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=600)


def lm_eval(bin_folder: Path, run: Run) -> None:
    """Four runs with --log_samples, each with another seed."""
    for seed in range(REPEATS):
        _lm_eval(bin_folder, f"lm-eval/{run.name}", 10 * run.seed + seed, "--log_samples")


def lm_eval_extras(bin_folder: Path) -> None:
    """One run without --log_samples."""
    _lm_eval(bin_folder, "lm-eval/without-samples", 99)


def _lm_eval(bin_folder: Path, out: str, seed: int, *options: str) -> None:
    package = next(bin_folder.parent.glob("lib/python*/site-packages/lm_eval"))
    (WORK / "tasks").mkdir(exist_ok=True)
    (WORK / "tasks/toy.yaml").write_text(LM_EVAL_TASK.format(package=package))
    arguments = f"base_url={URL}/chat/completions,model={MODEL},num_concurrent=4,seed={seed}"
    call(
        *(bin_folder / "lm_eval", "run", "--model", "local-chat-completions"),
        *("--model_args", arguments, "--tasks", "toy_gpqa", "--include_path", "tasks"),
        *("--apply_chat_template", "--gen_kwargs", "do_sample=true,temperature=1.0,max_gen_toks=512"),
        *("--output_path", out, *options),
    )


def inspect(bin_folder: Path, run: Run) -> None:
    """One run of four epochs, in the default format."""
    _inspect(bin_folder, f"inspect/{run.name}", "--log-format", "eval")


def inspect_extras(bin_folder: Path) -> None:
    """Three questions, as .eval and converted to .json, and a run without samples."""
    _inspect(bin_folder, "inspect/three", "--log-format", "eval", "--limit", "3")
    (log,) = (WORK / "inspect/three").glob("*.eval")
    call(bin_folder / "inspect", "log", "convert", log, "--to", "json", "--output-dir", "inspect/three")
    _inspect(bin_folder, "inspect/without-samples", "--log-format", "json", "--no-log-samples")


def _inspect(bin_folder: Path, out: str, *options: str) -> None:
    (WORK / "toy_inspect.py").write_text(INSPECT_TASK)
    call(
        *(bin_folder / "inspect", "eval", "toy_inspect.py", "--model", f"openai-api/stub/{MODEL}"),
        *("--model-base-url", URL, "-M", "api_key=none", "--log-dir", out, "--display", "none", *options),
    )


def gpt_oss(bin_folder: Path, run: Run) -> None:
    """One run of eight repeats, as vLLM's own test calls it; the package always writes below /tmp."""
    (WORK / "evals.py").write_text(GPT_OSS)
    call(
        *(bin_folder / "python", "evals.py", "--model", MODEL, "--reasoning-effort", "low", "--eval", "gpqa"),
        *("--base-url", URL, "--n-threads", "8"),
    )
    out = WORK / "gpt-oss" / run.name
    out.mkdir(parents=True)
    for path in Path("/tmp").glob("gpqa_stub__model-low_temp1.0_*"):  # noqa: S108
        if path.suffix == ".json":
            shutil.copy(path, out)
        path.unlink()


def evalscope(bin_folder: Path, run: Run) -> None:
    """One run of four repeats."""
    (WORK / "gpqa").mkdir(exist_ok=True)
    shutil.copy(WORK / "questions.jsonl", WORK / "gpqa/default.jsonl")
    arguments = json.dumps({"gpqa_diamond": {"local_path": "gpqa"}})
    call(
        *(bin_folder / "evalscope", "eval", "--model", MODEL, "--api-url", URL, "--api-key", "none"),
        *("--eval-type", "openai_api", "--datasets", "gpqa_diamond", "--dataset-args", arguments),
        *("--repeats", REPEATS, "--generation-config", '{"temperature": 1.0, "max_tokens": 512}'),
        *("--eval-batch-size", 4, "--work-dir", f"evalscope/{run.name}", "--no-timestamp"),
    )
    for unread in ("logs", "reports/report.html"):
        path = WORK / "evalscope" / run.name / unread
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def nothing(_bin_folder: Path) -> None:
    """No further logs."""


HARNESSES = {
    "lm-eval": Harness(("lm_eval[api]==0.4.13",), "The answer is ({}).", lm_eval, lm_eval_extras),
    "inspect": Harness(("inspect_ai==0.3.285", "openai"), "ANSWER: {}", inspect, inspect_extras),
    "gpt-oss": Harness(
        ("openai", "pandas", "numpy", "jinja2", "tqdm"),
        "**Answer: {}**",
        gpt_oss,
        nothing,
        no_dependencies="gpt-oss==0.0.9",
    ),
    "evalscope": Harness(("evalscope==1.14.1",), "ANSWER: {}", evalscope, nothing),
}


def environment(folder: Path, harness: Harness) -> Path:
    """The bin folder of an environment that has the harness."""
    if not folder.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *harness.packages], check=True)
        if harness.no_dependencies:  # made for Python 3.12, runs on 3.11
            subprocess.run(
                [*pip, "--no-deps", "--ignore-requires-python", harness.no_dependencies], check=True
            )
    return folder / "bin"


@contextmanager
def server(style: str, run: Run) -> Iterator[None]:
    """The answering server, until the run is over."""
    command = [sys.executable, "-m", "tests.support.answering_server", str(WORK / "questions.csv")]
    options = ["--port", PORT, "--style", style, "--accuracy", run.accuracy, "--seed", run.seed]
    with subprocess.Popen([*command, *map(str, options)], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while not _listens():
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


def _listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def write_questions() -> None:
    """questions.csv and the same as JSON lines, whose values stay text whoever reads them."""
    rows = [question.row() for question in evaluation()[:QUESTIONS]]
    with (WORK / "questions.csv").open("w", encoding="utf-8", newline="") as file:
        write_rows(rows, file)
    lines = (json.dumps(row) + "\n" for row in csv.DictReader((WORK / "questions.csv").open(newline="")))
    (WORK / "questions.jsonl").write_text("".join(lines))


def make(name: str, venvs: Path) -> None:
    """Every log of one harness."""
    harness = HARNESSES[name]
    bin_folder = environment(venvs / name, harness)
    for run in RUNS:
        with server(harness.style, run):
            harness.runs(bin_folder, run)
    with server(harness.style, RUNS[-1]):
        harness.extras(bin_folder)
    shutil.rmtree(DATA / name, ignore_errors=True)
    shutil.copytree(WORK / name, DATA / name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the logs that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(HARNESSES), metavar="HARNESS")
    parser.add_argument("--venvs", type=Path, default=Path(tempfile.gettempdir()) / "importer-venvs")
    options = parser.parse_args(arguments)
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "home").mkdir(parents=True)
    write_questions()
    shutil.copy(WORK / "questions.csv", DATA)
    for name in options.names:
        make(name, options.venvs)


if __name__ == "__main__":
    main()
