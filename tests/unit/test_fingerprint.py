from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gate.cells import CellSpec, cells_of
from gate.errors import ConfigError, UsageError
from gate.evals.task import Answer, Endpoint, Request
from gate.fingerprint import (
    UNPINNED,
    fingerprint_of,
    gate_version,
    git_in,
    model_revision,
    provenance,
    questions_sha256,
)
from gate.model.cell import Cell
from gate.model.fingerprint import Fingerprint
from gate.model.sample import Outcome
from tests.support.checkout import repository

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HUB_ID = "amd/gpt-oss-20b-w-mxfp4-a-fp8"


def model_folder(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    content = {"config.json": b"{}", "model-1.safetensors": b"one", "model-2.safetensors": b"two"}
    for name, data in (content | {k.replace("__", "."): v for k, v in files.items()}).items():
        (folder / name).write_bytes(data)
    return folder


def git_saying(**answers: str | None) -> object:
    """A git that knows these answers by its subcommand: `rev_parse`, `diff`."""

    def git(arguments: Sequence[str]) -> str | None:
        return answers.get(arguments[0].replace("-", "_"))

    return git


def told(**changes: object) -> dict[str, str]:
    settings = {
        "git": git_saying(rev_parse=COMMIT, diff=""),
        "environ": {},
        "now": NOON,
        "server_args": (),
    }
    return provenance(**(settings | changes))  # type: ignore[arg-type]


@dataclass(frozen=True)
class ToyTask:
    """What a fingerprint takes from a task."""

    max_tokens: int | None = 512
    name: str = "gpqa_diamond"
    protocol: str = "independent"
    endpoint: Endpoint = "responses"
    grader: str = "gpt_oss/0.0.9"
    dataset_sha256: str = "d" * 64
    prompt_sha256: str = "e" * 64
    questions: tuple[str, ...] = ("0" * 12, "1" * 12)
    chance: float = 0.25

    def request(self, question_id: str, repeat: int, stream: str) -> Request:
        raise NotImplementedError

    def grade(self, question_id: str, repeat: int, stream: str, answer: Answer) -> Outcome:
        raise NotImplementedError


def spec_of(folder: Path, text: str) -> CellSpec:
    path = folder / "tiny.yaml"
    path.write_text(text)
    (spec,) = cells_of([path], arch="cpu")
    return spec


CONFIG = """\
model_name: amd/tiny
reasoning_effort: low
server_args: "--max-model-len 512"
task: gpqa_diamond
sampling: {temperature: 0.7, top_p: 0.9, top_k: 20}
"""


def test_a_fingerprint_holds_what_is_measured_and_how(tmp_path: Path) -> None:
    found = fingerprint_of(
        spec_of(tmp_path, CONFIG), ToyTask(), model_revision=COMMIT, conversation_date="2026-01-01"
    )
    assert found == Fingerprint(
        cell=Cell(arch="cpu", config="tiny", backend="default"),
        task="gpqa_diamond",
        protocol="independent",
        endpoint="responses",
        dataset_sha256="d" * 64,
        questions_sha256=questions_sha256(ToyTask().questions),
        prompt_sha256="e" * 64,
        grader="gpt_oss/0.0.9",
        model="amd/tiny",
        model_revision=COMMIT,
        temperature=0.7,
        top_p=0.9,
        top_k=20,
        max_tokens=512,
        max_model_len=512,
        reasoning_effort="low",
        conversation_date="2026-01-01",
        launch_preset="plain",
    )


def test_no_limit_on_tokens_is_written_as_zero(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, CONFIG)
    task = ToyTask(max_tokens=None)
    assert fingerprint_of(spec, task, model_revision="x", conversation_date=None).max_tokens == 0


def test_what_is_being_tested_leaves_the_fingerprint_alone(tmp_path: Path) -> None:
    one, other = (
        fingerprint_of(spec_of(tmp_path, text), ToyTask(), model_revision="x", conversation_date=None)
        for text in (CONFIG, CONFIG.replace("--max-model-len 512", "--max-model-len 512 --max-num-seqs 8"))
    )
    assert one == other


def test_the_revision_of_a_snapshot_is_its_commit(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models--amd--x" / "snapshots" / COMMIT)
    assert model_revision(folder, None) == COMMIT
    assert model_revision(str(folder), COMMIT) == COMMIT
    assert model_revision(folder, "main") == COMMIT


def test_a_link_to_a_snapshot_is_that_snapshot(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "models--amd--x" / "snapshots" / COMMIT)
    (tmp_path / "model").symlink_to(folder)
    assert model_revision(tmp_path / "model", None) == COMMIT


def test_a_snapshot_that_is_not_the_pinned_commit_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "snapshots" / COMMIT)
    with pytest.raises(ConfigError, match=f"pins the revision {'f' * 40}, but this snapshot is {COMMIT}"):
        model_revision(folder, "f" * 40)


def test_the_revision_of_any_other_folder_is_a_hash_of_its_config_and_weights(tmp_path: Path) -> None:
    listed = "".join(
        f"{name} {hashlib.sha256(data).hexdigest()}\n"
        for name, data in (
            ("config.json", b"{}"),
            ("model-1.safetensors", b"one"),
            ("model-2.safetensors", b"two"),
        )
    )
    expected = hashlib.sha256(listed.encode()).hexdigest()[:16]
    assert model_revision(model_folder(tmp_path / "m"), None) == f"sha256:{expected}"


def test_a_folder_is_believed_more_than_what_the_config_declares(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    assert model_revision(folder, "v1") == model_revision(folder, None)


@pytest.mark.parametrize("changed", ["config__json", "model-1__safetensors", "model-3__safetensors"])
def test_other_weights_or_config_are_another_revision(tmp_path: Path, changed: str) -> None:
    one = model_folder(tmp_path / "one")
    other = model_folder(tmp_path / "other", **{changed: b"changed"})
    assert model_revision(one, None) != model_revision(other, None)


def test_the_revision_does_not_depend_on_where_the_folder_is_or_what_else_lies_there(tmp_path: Path) -> None:
    one = model_folder(tmp_path / "one")
    other = model_folder(tmp_path / "other", README__md=b"text")
    assert model_revision(one, None) == model_revision(other, None)


@pytest.mark.parametrize("model", [Path("missing/model"), "/missing/model", "./missing", "~/model"])
def test_a_missing_folder_says_where(model: str | Path) -> None:
    with pytest.raises(UsageError) as caught:
        model_revision(model, None)
    assert str(caught.value).startswith(f"{model}: the model folder does not exist")


@pytest.mark.parametrize("missing", ["config.json", "model-1.safetensors"])
def test_a_folder_without_a_model_says_what_is_needed(tmp_path: Path, missing: str) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "model-2.safetensors").unlink()
    (folder / missing).unlink()
    with pytest.raises(UsageError, match=r"config\.json and \*\.safetensors are needed"):
        model_revision(folder, None)


def test_weights_that_cannot_be_read_say_which(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m")
    (folder / "model-3.safetensors").symlink_to("nowhere")
    with pytest.raises(UsageError, match=r"model-3\.safetensors: cannot be read"):
        model_revision(folder, None)


def test_a_hub_model_has_the_declared_revision() -> None:
    assert model_revision(HUB_ID, "v1") == "v1"


def test_a_hub_model_without_any_revision_is_called_unpinned() -> None:
    assert model_revision(HUB_ID, None) == UNPINNED


@pytest.mark.parametrize(("declared", "ref"), [(None, "main"), ("v1", "v1")])
def test_the_local_cache_says_which_commit_a_revision_is(
    tmp_path: Path, declared: str | None, ref: str
) -> None:
    refs = tmp_path / "hub" / "models--amd--gpt-oss-20b-w-mxfp4-a-fp8" / "refs"
    refs.mkdir(parents=True)
    (refs / ref).write_text(COMMIT)
    assert model_revision(HUB_ID, declared, hf_home=tmp_path) == COMMIT


def test_a_declared_commit_needs_no_cache(tmp_path: Path) -> None:
    assert model_revision(HUB_ID, COMMIT, hf_home=tmp_path) == COMMIT


def test_a_revision_the_cache_does_not_know_stays_as_declared(tmp_path: Path) -> None:
    assert model_revision(HUB_ID, "v1", hf_home=tmp_path) == "v1"


def test_a_revision_never_leads_out_of_the_cache(tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--amd--gpt-oss-20b-w-mxfp4-a-fp8" / "refs").mkdir(parents=True)
    (tmp_path / "outside").write_text(COMMIT)
    assert model_revision(HUB_ID, "../../../outside", hf_home=tmp_path) == "../../../outside"


def test_a_ref_that_holds_no_commit_is_not_believed(tmp_path: Path) -> None:
    refs = tmp_path / "hub" / "models--amd--gpt-oss-20b-w-mxfp4-a-fp8" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("garbage")
    assert model_revision(HUB_ID, None, hf_home=tmp_path) == UNPINNED


def test_questions_are_hashed_in_order() -> None:
    assert questions_sha256(("a", "b")) == hashlib.sha256(b'["a","b"]').hexdigest()
    assert questions_sha256(["b", "a"]) != questions_sha256(["a", "b"])


def test_provenance_says_gate_commit_date_and_server_arguments() -> None:
    found = told(server_args=("--tensor-parallel-size", "2", "--served-model-name", "a b"))
    assert found == {
        "gate_version": gate_version(),
        "commit": COMMIT,
        "tree": COMMIT,
        "dirty": "false",
        "date": "2026-11-23T12:00:00+00:00",
        "server_args": "--tensor-parallel-size 2 --served-model-name 'a b'",
    }


def test_the_date_is_told_in_utc() -> None:
    here = NOON.astimezone(timezone(timedelta(hours=9)))
    assert told(now=here)["date"] == "2026-11-23T12:00:00+00:00"


def test_the_commit_that_is_checked_out_counts_and_not_the_one_of_the_event() -> None:
    assert told(environ={"GITHUB_SHA": "f" * 40})["commit"] == COMMIT
    assert told(git=git_saying(), environ={"GITHUB_SHA": "f" * 40})["commit"] == "f" * 40


def test_changed_files_make_a_run_dirty() -> None:
    assert told(git=git_saying(rev_parse=COMMIT, diff="gate/cli.py"))["dirty"] == "true"


@pytest.mark.parametrize(("changed", "dirty"), [("baselines/x.json", "false"), ("code.py", "true")])
@pytest.mark.parametrize("store", ["baselines", "../elsewhere"])
def test_baselines_that_were_just_added_do_not_make_a_checkout_dirty(
    tmp_path: Path, changed: str, dirty: str, store: str
) -> None:
    checkout = tmp_path / "checkout"
    git = repository(checkout, "baselines/x.json", "code.py")
    (checkout / changed).write_text("changed")
    expected = "true" if store == "../elsewhere" else dirty
    assert told(git=git, store=checkout / store)["dirty"] == expected


def test_outside_a_repository_commit_and_changes_are_unknown() -> None:
    found = told(git=git_saying())
    assert (found["commit"], found["dirty"]) == ("unknown", "unknown")


def test_a_run_of_actions_has_its_address() -> None:
    environ = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7"}
    assert told(environ=environ)["run_url"] == "https://github.com/o/r/actions/runs/7"
    assert "run_url" not in told(environ=environ | {"GITHUB_RUN_ID": ""})


def test_what_others_found_out_is_kept_but_never_hides_our_own() -> None:
    found = told(extra={"driver": "6.4", "commit": "made up"})
    assert (found["driver"], found["commit"]) == ("6.4", COMMIT)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (("--api-key", "s3cret", "--port", "1"), "--api-key '***' --port 1"),
        (("--api-key=s3cret",), "'--api-key=***'"),
        (("--hf-token", "s3cret"), "--hf-token '***'"),
        (("--api-key", "--api-key", "--port"), "--api-key '***' --port"),
        (("--tokenizer", "t", "--max-num-batched-tokens=8"), "--tokenizer t --max-num-batched-tokens=8"),
        (("--api-key",), "--api-key"),
    ],
)
def test_secrets_in_server_arguments_are_left_out(arguments: tuple[str, ...], kept: str) -> None:
    assert told(server_args=arguments)["server_args"] == kept


def test_git_answers_with_what_it_printed(tmp_path: Path) -> None:
    git = git_in(tmp_path)
    git(["init", "-q"])
    assert git(["rev-parse", "--show-toplevel"]) == str(tmp_path.resolve())
    assert git(["status", "--porcelain", "--untracked-files=no"]) == ""


def test_git_that_fails_has_no_answer(tmp_path: Path) -> None:
    assert git_in(tmp_path / "missing")(["rev-parse", "HEAD"]) is None


def test_a_machine_without_git_has_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_in(tmp_path)(["rev-parse", "HEAD"]) is None
