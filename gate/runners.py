"""configs/runners.yaml: which hardware a list of configs runs on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from gate.document import read_document
from gate.errors import ConfigError
from gate.model.fields import Frozen, Name
from gate.problems import config_error, did_you_mean
from gate.settings import When

FILE_NAME = "runners.yaml"
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:+-]{1,100}$")]


class Runner(Frozen):
    """The hardware of one list: `gpus` is how many one runner has (0 on a CPU)."""

    arch: Name
    runs_on: tuple[Label, ...] = Field(min_length=1)
    gpus: int = Field(default=0, ge=0)
    when: When | None = None


class _Runners(Frozen):
    lists: dict[str, Runner] = Field(min_length=1)


def load_runners(path: Path) -> Mapping[str, Runner]:
    """List file name -> runner.

    Raises:
        ConfigError: with file and line; also for a list that is not beside the file.
    """
    document = read_document(path)
    try:
        lists = _Runners.model_validate(document.values, strict=True).lists
    except ValidationError as error:
        raise config_error(error, document, _Runners, schema=False) from error
    for name in lists:
        if not (path.parent / name).is_file():
            raise ConfigError(
                f"names the list {name!r}, which is not there",
                where=document.where(("lists", name)),
                hint=did_you_mean(name, (file.name for file in path.parent.glob("*.txt")))
                or "Check its name.",
            )
    return lists


def runners_beside(path: Path) -> Mapping[str, Runner]:
    """The runners of the folder that a list or config lies in; none where there is no such file."""
    file = path.parent / FILE_NAME
    return load_runners(file) if file.is_file() else {}
