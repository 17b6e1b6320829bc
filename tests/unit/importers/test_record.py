"""From a log and its config to a run record: what has to be declared, and what has to agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate.cells import cells_of
from gate.config import load_config
from gate.errors import ConfigError, GateError, RecordError, UsageError
from gate.evals.load import load_task
from gate.importers.gpt_oss import read
from gate.importers.log import HarnessLog, Wanted
from gate.importers.record import Declared, record_of
from gate.model.evidence import Evidence
from gate.model.record import RunRecord
from gate.records import parse
from gate.settings import ChoiceColumns
from tests.support.imported import DATA, config_of, write_config
from tests.support.project import ROOT

(LOG,) = (DATA / "gpt-oss/healthy").glob("*_allresults.json")


@pytest.fixture(scope="module")
def log() -> HarnessLog:
    """The healthy run of gpt_oss.evals: 12 questions, 8 repeats, no version."""
    return read([LOG], Wanted("gpqa", None, ChoiceColumns()))


def record(
    folder: Path, log: HarnessLog, config: dict[str, Any] | None = None, repeats: int = 8, **declared: Any
) -> RunRecord:
    path = write_config(folder, config or config_of("gpt-oss"))
    (spec,) = cells_of([path], arch="sm90")
    known = {
        "written": spec.sampling.model_fields_set
        | (load_config(path).model_fields_set & {"reasoning_effort"}),
        "model_revision": "unpinned",
        "served_model": None,
        "evidence": Evidence(),
        "provenance": {},
    }
    return record_of(spec, log, Declared(**(known | declared)), purpose="gate", repeats=repeats)


def test_a_record_holds_together_and_says_where_it_comes_from(tmp_path: Path, log: HarnessLog):
    made = record(tmp_path, log)
    assert parse(made.model_dump_json(by_alias=True).encode(), where="x") == made
    assert made.look_at == (96,)
    assert made.stream.startswith("imported-")
    assert made.provenance["imported_from"] == "gpt-oss"
    assert made.provenance["log_lacks"] == "tokens, finish"
    print_of = made.fingerprint
    assert (print_of.task, print_of.protocol, print_of.grader) == ("gpqa", "gpt-oss", "gpt-oss/0.0.9:score")
    assert (print_of.reasoning_effort, print_of.max_tokens) == ("low", 131072)
    assert print_of.conversation_date is None


def test_every_run_of_a_harness_has_the_same_fingerprint_and_a_stream_of_its_own(
    tmp_path: Path, log: HarnessLog
):
    (path,) = (DATA / "gpt-oss/broken").glob("*_allresults.json")
    other = record(tmp_path, read([path], Wanted("gpqa", None, ChoiceColumns())))
    mine = record(tmp_path, log)
    assert mine.fingerprint == other.fingerprint
    assert mine.stream != other.stream


def without(log: HarnessLog, number: int) -> HarnessLog:
    return log._replace(samples=log.samples[:number] + log.samples[number + 1 :])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(lambda log: without(log, 0), "was answered 7 times, but 8", id="a sample is missing"),
        pytest.param(lambda log: log._replace(repeats=4), "a run of 4 repeats, but 8", id="another size"),
        pytest.param(
            lambda log: log._replace(samples=(*log.samples, log.samples[0])), "9 times", id="one too many"
        ),
        pytest.param(
            lambda log: log._replace(samples=tuple(s._replace(answer="same") for s in log.samples)),
            "repeat 2 is a copy of repeat 1",
            id="copies for repeats",
        ),
        pytest.param(
            lambda log: log._replace(samples=tuple(s._replace(repeat=0) for s in log.samples)),
            "is there twice in repeat 0",
            id="two questions that are one",
        ),
        pytest.param(
            lambda log: log._replace(
                samples=(
                    log.samples[0]._replace(question=log.samples[0].question._replace(content="x")),
                    *log.samples[1:],
                )
            ),
            "with different options",
            id="one id, two questions",
        ),
        pytest.param(lambda log: log._replace(version="0.0.8"), "declares 0.0.9", id="another version"),
        pytest.param(lambda log: log._replace(model="other/model"), "--served-model", id="another model"),
        pytest.param(
            lambda log: log._replace(settings={**log.settings, "temperature": 0.6}),
            "temperature 0.6, not 1.0",
            id="another temperature",
        ),
        pytest.param(
            lambda log: log._replace(settings={**log.settings, "endpoint": "chat"}),
            "endpoint chat, not responses",
            id="another endpoint",
        ),
    ],
)
def test_a_log_that_is_not_the_declared_run_is_refused(tmp_path: Path, log: HarnessLog, changed, said: str):
    with pytest.raises(RecordError, match=said):
        record(tmp_path, changed(log))


def test_a_model_may_be_served_under_another_name(tmp_path: Path, log: HarnessLog):
    assert (
        record(tmp_path, log._replace(model="vllm/gpt"), served_model="gpt").fingerprint.model == "stub/model"
    )
    assert record(tmp_path, log._replace(model="openai-api/x/stub/model"))
    assert record(tmp_path, log._replace(model=None))


@pytest.mark.parametrize("missing", ["top_p", "top_k", "max_tokens"])
def test_what_neither_log_nor_config_says_is_asked_for_and_never_invented(
    tmp_path: Path, log: HarnessLog, missing: str
):
    config = config_of("gpt-oss")
    del config["sampling"][missing]
    with pytest.raises(UsageError, match=f"says what {missing} was"):
        record(tmp_path, log, config)


def test_a_reasoning_effort_that_only_the_config_can_say_must_stand_there(tmp_path: Path, log: HarnessLog):
    silent = log._replace(settings={"temperature": 1.0})
    assert record(tmp_path, silent).fingerprint.reasoning_effort == "low"
    config = config_of("gpt-oss")
    del config["reasoning_effort"]
    assert record(tmp_path, log, config).fingerprint.reasoning_effort == "low"
    with pytest.raises(UsageError, match="reasoning_effort"):
        record(tmp_path, silent, config)


def test_a_version_that_the_log_does_not_say_is_asked_for(tmp_path: Path, log: HarnessLog):
    with pytest.raises(UsageError, match="version of gpt-oss"):
        record(tmp_path, log, config_of("gpt-oss", version=None))


def test_a_log_of_another_harness_is_refused(tmp_path: Path, log: HarnessLog):
    with pytest.raises(UsageError, match="evalscope's, not gpt-oss's"):
        record(tmp_path, log, config_of("evalscope"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("imported", None, "need each other"),
        ("name", "gpqa_diamond", "need each other|protocol of gpqa_diamond"),
        ("endpoint", None, "needs `endpoint:`"),
        ("protocol", "independent", "protocol of imported is one of lm-eval"),
        ("num_questions", 5, "num_questions is the harness's affair"),
    ],
)
def test_a_config_of_imported_runs_says_everything(tmp_path: Path, key: str, value: object, said: str):
    config = config_of("gpt-oss")
    config["task"] |= {key: value}
    config["task"] = {k: v for k, v in config["task"].items() if v is not None}
    with pytest.raises(ConfigError, match=said):
        cells_of([write_config(tmp_path, config)], arch="sm90")


@pytest.mark.parametrize("key", ["benchmark", "repeats", "guessing", "conversation_date"])
def test_what_no_log_can_say_is_missing_with_its_line(tmp_path: Path, key: str):
    with pytest.raises(ConfigError, match=rf"toy.yaml:\d+.*imported.{key} is missing"):
        cells_of([write_config(tmp_path, config_of("gpt-oss", **{key: None}))], arch="sm90")


def test_an_unknown_key_gets_a_suggestion(tmp_path: Path):
    with pytest.raises(ConfigError, match="Did you mean 'guessing'"):
        cells_of([write_config(tmp_path, config_of("gpt-oss", guesing=0.25))], arch="sm90")


def test_the_gate_does_not_ask_what_another_harness_asks(tmp_path: Path):
    (spec,) = cells_of([write_config(tmp_path, config_of("gpt-oss"))], arch="sm90")
    with pytest.raises(GateError, match="gate import gpt-oss LOG"):
        load_task(
            spec.task,
            spec.sampling,
            reasoning_effort=None,
            served_model="x",
            dataset_path=None,
            cache_dir=tmp_path,
        )


def test_a_date_in_a_config_stays_the_text_that_it_is(tmp_path: Path, log: HarnessLog):
    config = config_of("gpt-oss")
    text = yaml.safe_dump(config).replace("conversation_date: none", "conversation_date: 2026-01-01")
    path = tmp_path / "toy.yaml"
    path.write_text(text)
    (spec,) = cells_of([path], arch="sm90")
    assert spec.task.imported is not None
    assert spec.task.imported.conversation_date == "2026-01-01"


def test_the_config_in_the_docs_is_one(tmp_path: Path):
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/importing.md").read_text(), re.M | re.S)
    (tmp_path / "imported.yaml").write_text(block)
    (spec,) = cells_of([tmp_path / "imported.yaml"], arch="gfx950")
    assert spec.task.imported is not None
    assert (spec.task.chance, spec.accept_unproven) == (0.25, ("fallbacks",))
