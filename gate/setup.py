"""`gate init`: what a repository needs to be gated, written once and then its owner's."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate.config import load_located
from gate.errors import UsageError
from gate.files import write_bytes

WORKFLOWS: Final = ("gate.yml", "gate-report.yml", "gate-commands.yml", "gate-baseline.yml")
PIN: Final = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[0-9a-f]{40}")
_PLACEHOLDER: Final = re.compile(r"your-org/vllm-eval-gate@0{40} # vX\.Y\.Z")
_INSTRUCTIONS: Final = re.compile(r"#\n# Replace your-org/[^\n]*\n| Copy to\b(?:.|\n# )*?(?=\n#\n)")
"""What only the reader of the examples has to do."""
_EXAMPLE_LIST: Final = "configs/models-gfx950.txt"
_EXAMPLE_COMMAND: Final = "/opt/engine/bin/vllm"
_EXAMPLE_CACHE: Final = "/data/huggingface"
_OWNED: Final = ("/configs/", "/baselines/", "/.github/workflows/")
_SECTION: Final = "## Regression gate"


@dataclass(frozen=True)
class Setup:
    """What the command line asked for.

    `pin` is the gate's repository at a full commit; `owners` are who must review configs, baselines and
    workflows (`@org/team`).
    """

    folder: Path
    pin: str
    config: str
    arch: str
    runs_on: tuple[str, ...]
    gpus: int
    owners: tuple[str, ...]
    engine_command: str = _EXAMPLE_COMMAND
    hf_home: str = _EXAMPLE_CACHE


def templates(name: str) -> Path:
    """A folder of this project's own examples: in the wheel beside this module, in a checkout at its top.

    Raises:
        UsageError: neither is there.
    """
    here = Path(__file__).resolve().parent
    for folder in (
        here / "templates" / name,
        here.parent / ("examples/workflows" if name == "workflows" else name),
    ):
        if folder.is_dir():
            return folder
    raise UsageError(f"the templates {name!r} are not installed", hint="install the gate again")


def known_configs() -> tuple[str, ...]:
    """Names of the configs that come with the gate."""
    return tuple(sorted(path.stem for path in templates("configs").glob("*.yaml") if path.stem != "runners"))


def set_up(setup: Setup) -> tuple[Path, ...]:
    """Write configs, list, runners, workflows, CODEOWNERS and a README section; returns the files written.

    Raises:
        UsageError: nothing was written: a file exists already, or an argument does not make sense.
    """
    _check(setup)
    files = dict(_new_files(setup))
    if there := [path for path in files if (setup.folder / path).exists()]:
        raise UsageError(
            f"{there[0]} exists already, and so do {len(there) - 1} more"
            if there[1:]
            else f"{there[0]} exists already",
            where=str(setup.folder),
            hint="gate init writes into a repository that has no gate; change the files by hand",
        )
    files |= dict(_grown_files(setup))
    for path, text in files.items():
        hint = "make it writable, remove what was written, and run it again"
        write_bytes(setup.folder / path, text.encode(), error=UsageError, hint=hint)
    return tuple(setup.folder / path for path in files)


def remaining(setup: Setup) -> tuple[str, ...]:
    """What the owner of the repository has to do next, a sentence each."""
    return (
        *_on_no_hub(setup),
        "collect a baseline on a runner (README.md has the command; "
        f"`gate doctor configs/models-{setup.arch}.txt` says what the runner lacks)",
        "let gate.yml and gate-baseline.yml build the engine of a pull request, where they say so: "
        f"as they are, they measure what {setup.engine_command} is on the runner, "
        "whatever a pull request changes",
        "open a pull request with all of it",
    )


def _on_no_hub(setup: Setup) -> Iterator[str]:
    config = templates("configs") / f"{setup.config}.yaml"
    model = load_located(config).config.model_name
    if model.startswith("local/"):
        yield (
            f"{model}, which configs/{setup.config}.yaml names, is on no hub: write your model's id there, "
            "or give its folder, as --model on the command line and as model-dir in the workflows"
        )


def _check(setup: Setup) -> None:
    if not setup.folder.is_dir():
        raise UsageError(
            "is no folder", where=str(setup.folder), hint="give the top folder of the repository"
        )
    if not PIN.fullmatch(setup.pin):
        raise UsageError(
            f"{setup.pin!r} is not OWNER/NAME@COMMIT with all 40 digits",
            hint="a branch or a tag can be moved: pin the commit of a release",
        )
    if setup.config not in known_configs():
        raise UsageError(
            f"no config {setup.config!r} comes with the gate", hint=f"one of: {', '.join(known_configs())}"
        )
    if not re.fullmatch(r"[a-z0-9_]+", setup.arch):
        raise UsageError(f"{setup.arch!r} is no architecture", hint="like gfx950, gfx942, sm90 or cpu")
    for label in setup.runs_on:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", label):
            raise UsageError(
                f"{label!r} is no label of a runner", hint="letters, digits and _ . - only, as in self-hosted"
            )
    for owner in setup.owners:
        if not re.fullmatch(r"@[A-Za-z0-9-]+(/[A-Za-z0-9_.-]+)?", owner):
            raise UsageError(f"{owner!r} is no owner", hint="write @user or @org/team")
    for path in (setup.engine_command, setup.hf_home):
        if not re.fullmatch(r"[A-Za-z0-9_./ =-]+", path):
            raise UsageError(
                f"{path!r} cannot stand in a workflow as it is", hint="letters, digits and _ . / = -"
            )


def _new_files(setup: Setup) -> Iterator[tuple[str, str]]:
    listed = f"configs/models-{setup.arch}.txt"
    yield f"configs/{setup.config}.yaml", _read("configs", f"{setup.config}.yaml")
    yield listed, f"{setup.config}.yaml\n"
    labels = ", ".join(setup.runs_on)
    gpus = f"    gpus: {setup.gpus}\n" if setup.gpus else ""
    yield (
        "configs/runners.yaml",
        "# Which hardware a list runs on: the labels of its runners, and how many GPUs one of them has.\n"
        f"lists:\n  models-{setup.arch}.txt:\n    arch: {setup.arch}\n    runs_on: [{labels}]\n{gpus}",
    )
    yield "baselines/.gitattributes", _read("baselines", ".gitattributes")
    for name in WORKFLOWS:
        text = _INSTRUCTIONS.sub("", _PLACEHOLDER.sub(setup.pin, _read("workflows", name)))
        for example, ours in (
            (_EXAMPLE_LIST, listed),
            (_EXAMPLE_COMMAND, setup.engine_command),
            (_EXAMPLE_CACHE, setup.hf_home),
        ):
            text = text.replace(example, ours)
        yield f".github/workflows/{name}", text


def _grown_files(setup: Setup) -> Iterator[tuple[str, str]]:
    """Files that may exist already: what they hold stays, ours comes after it."""
    if setup.owners:
        owners = ".github/CODEOWNERS"
        lines = "".join(f"{path} {' '.join(setup.owners)}\n" for path in _OWNED)
        yield owners, _before(setup.folder / owners) + lines
    readme = _before(setup.folder / "README.md")
    if _SECTION not in readme:
        yield "README.md", readme + _readme(setup)


def _readme(setup: Setup) -> str:
    home = f"https://github.com/{setup.pin.partition('@')[0]}"
    return f"""{_SECTION}

Pull requests are measured by [vllm-eval-gate]({home}): `configs/` says what, `baselines/` holds what accepted
builds scored. `pip install git+{home}@{setup.pin.partition("@")[2]}` (Python 3.11 or newer,
an environment of its own) installs `gate`. The first baseline is collected on a runner, from a clean
checkout of the default branch:

```sh
gate baseline collect configs/models-{setup.arch}.txt --repeats 16 --runs 2 --reason "first baseline" \\
  --engine-command {shlex.quote(setup.engine_command)} --hf-home {setup.hf_home}
```

Commit what it writes below `baselines/`: without it every cell is `no_baseline`.
"""


def _before(path: Path) -> str:
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    return text if not text or text.endswith("\n\n") else text.rstrip("\n") + "\n\n"


def _read(folder: str, name: str) -> str:
    return (templates(folder) / name).read_text(encoding="utf-8")
