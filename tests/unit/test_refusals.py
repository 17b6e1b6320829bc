"""Mistakes that no other test makes: each is refused with what happened and what to do."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from gate import check, collect, hub, prefetch, run, setup
from gate.baseline import calibration, past, pool
from gate.baseline.declared import Declaration
from gate.cell_spec import CellSpec
from gate.cells import cells_of
from gate.collect import Collection
from gate.errors import BaselineError, GateError, RecordError, StorageError, UsageError
from gate.evals.journal import Journal
from gate.github import client
from gate.importers import log
from gate.model.cell import Cell
from gate.numerics import store
from gate.objects import Files, objects_at
from gate.outputs import Outputs
from gate.reporting import fail_on_verdicts
from gate.serving.confinement import Confinement
from gate.serving.docker import DockerContainer
from gate.serving.probe import Endpoint
from tests.support import probes
from tests.support.measured import baseline
from tests.support.measured import calibration as calibrated

CELL = Cell(arch="cpu", config="x", backend="default")


def spec(folder: Path, **changes: object) -> CellSpec:
    """The only cell of a config."""
    config = folder / "x.yaml"
    config.write_text(yaml.safe_dump({"model_name": "stub/model", **changes}))
    (only,) = cells_of([config], arch="cpu")
    return only


def told(error: pytest.ExceptionInfo[GateError]) -> str:
    assert error.value.hint
    return str(error.value)


@pytest.mark.parametrize(
    ("given", "said"), [("", "nothing would ever fail"), (" , ", "empty"), ("regresion", "'regresion'")]
)
def test_a_fail_on_that_means_nothing(given: str, said: str):
    with pytest.raises(UsageError, match=said) as error:
        fail_on_verdicts(given)
    told(error)


def test_a_repeat_too_few_for_sampled_answers_and_too_many_for_greedy_ones(tmp_path: Path):
    warm = spec(tmp_path)
    for asked, said in (
        (Collection(repeats=1), "how much answers vary"),
        (Collection(repeats=None), "how large a run is"),
    ):
        with pytest.raises(UsageError, match=said) as error:
            collect._repeats(asked, None, warm)
        told(error)
    greedy = spec(tmp_path, sampling={"temperature": 0})
    with pytest.raises(UsageError, match="copies"):
        collect._repeats(Collection(repeats=2), None, greedy)


def test_a_file_where_the_folder_of_baselines_should_be(tmp_path: Path):
    (tmp_path / "baselines").write_text("")
    with pytest.raises(BaselineError, match="is not a folder of baselines") as error:
        pool.reference_of(tmp_path / "baselines", CELL)
    assert "--baselines" in told(error)


def test_a_file_where_the_results_should_go(tmp_path: Path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="cannot be a folder for results"):
        Outputs(tmp_path / "out").prepare()


def test_a_folder_for_results_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # whoever runs the tests as root may write everywhere
    with pytest.raises(UsageError, match="cannot be written to"):
        Outputs(tmp_path / "out").prepare()


def test_an_empty_cache_without_a_network(tmp_path: Path):
    with pytest.raises(UsageError, match="is not in the cache") as error:
        prefetch.fill(tmp_path, None, "org/model", "main")
    assert "gate prefetch" in told(error)


def test_the_hubs_library_that_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match="library is not installed") as error:
        hub.HuggingFace(tmp_path, {})
    assert "[prefetch]" in told(error)


def test_an_app_without_its_key():
    with pytest.raises(UsageError, match="there is no token"):
        client.Hub(client.Credentials(), "org/engine")


def test_a_container_user_that_is_a_name():
    with pytest.raises(UsageError, match="is not UID:GID"):
        Confinement(user="somebody").check(None)


def test_a_container_that_is_asked_to_serve_on_a_port():
    confined = Confinement(user="1:1")
    container = DockerContainer(
        image="i@sha256:" + "a" * 64, name="n", model="m", served_model="m", outer={}, confinement=confined
    )
    with pytest.raises(UsageError, match="serves on a socket"):
        container.argv(Endpoint(8000, None))


def test_records_of_a_cell_that_no_config_defines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec(tmp_path)
    monkeypatch.setattr(
        check.records, "read_all", lambda _: [SimpleNamespace(cell=CELL.model_copy(update={"config": "y"}))]
    )
    with pytest.raises(RecordError, match="no config at hand defines the cell cpu/y/default"):
        check.check_records(check.CheckRequest(tmp_path, (tmp_path / "x.yaml",), tmp_path, "cpu"))


def test_a_cell_without_a_reference_has_no_looks():
    plan = SimpleNamespace(reference=None, budget=None, spec=SimpleNamespace(cell=CELL))
    with pytest.raises(UsageError, match="nothing to compare with"):
        run.looks_of(plan, progress=None)  # type: ignore[arg-type]


def test_a_journal_in_a_folder_that_is_none(tmp_path: Path):
    (tmp_path / "journals").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        Journal.open(tmp_path / "journals/x.jsonl", {})


def test_a_folder_without_the_log_that_is_looked_for(tmp_path: Path):
    with pytest.raises(RecordError, match="holds no results"):
        log.the_file(tmp_path, "*.json", "results", "name the folder")


def test_lines_of_a_folder_instead_of_a_file(tmp_path: Path):
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        list(log.read_lines(tmp_path, baseline().__class__))


@pytest.mark.parametrize(
    ("name", "write", "error"),
    [
        (
            "x.calibration.json",
            lambda p: calibration.save_calibration(p / "x.json", calibrated()),
            BaselineError,
        ),
        ("x.probe.json", lambda p: store.save(p / "x.probe.json", probes.baseline()), BaselineError),
        ("x.json", lambda p: Declaration(p / "x.json").declare({}), UsageError),
        ("x.json", lambda p: Files(p).put("x.json", b""), StorageError),
    ],
)
def test_what_another_process_writes_at_the_same_time(
    tmp_path: Path, name: str, write: Callable[[Path], object], error: type[GateError]
):
    with (tmp_path / f".{name}.tmp").open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(error, match=f"{name}: was not written: another process"):
            write(tmp_path)


def test_a_record_of_another_node_that_finds_no_room_here(tmp_path: Path):
    objects = Files(tmp_path / "store")
    objects.put("records/x.json", b"{}")
    outputs = Outputs(tmp_path, objects)
    (tmp_path / "records").touch()
    with pytest.raises(StorageError, match=r"records/x\.json: cannot be written"):
        outputs.borrow(tmp_path / "records/x.json")


@pytest.mark.parametrize(("answers", "said"), [({"rev-parse": "a" * 40}, "git cannot follow")])
def test_a_range_that_git_cannot_follow(answers: dict[str, str], said: str):
    with pytest.raises(UsageError, match=said):
        list(past.versions(lambda words: answers.get(words[0]), "A..B", ()))


def test_a_store_whose_library_is_not_installed_names_the_extra():
    with pytest.raises(
        UsageError, match=r"a store at gcs:// needs a library that is not installed"
    ) as refused:
        objects_at("gcs://bucket/gate")
    assert "vllm-eval-gate[store]" in (refused.value.hint or "")


def test_an_object_that_is_there_and_cannot_be_read_is_told_apart_from_one_that_is_not(tmp_path: Path):
    objects = objects_at(f"local://{tmp_path}")
    (tmp_path / "journals/1.jsonl").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be read") as failed:
        objects.read(["journals/0.jsonl", "journals/1.jsonl"])
    assert failed.value.where == f"{tmp_path}/journals/1.jsonl"
    assert objects.read(["journals/0.jsonl"]) == {}


def test_a_version_that_is_not_in_a_shallow_clone():
    def git(words: list[str]) -> str | None:
        return "12" if words[0] == "cat-file" else None

    with pytest.raises(BaselineError, match="cannot be read from git"):
        past._content(git, "a" * 40, "x.json")  # type: ignore[arg-type]


def test_templates_that_were_not_installed():
    with pytest.raises(UsageError, match="'recipes' are not installed"):
        setup.templates("recipes")


def test_a_repository_that_may_not_be_written(tmp_path: Path):
    (tmp_path / ".github").touch()
    wanted = setup.Setup(
        tmp_path, "a/b@" + "1" * 40, "tiny-gpt-oss-w4a8", "cpu", runs_on=("x",), gpus=0, owners=()
    )
    with pytest.raises(UsageError, match="cannot be written") as error:
        setup.set_up(wanted)
    assert "remove what was written" in told(error)
