"""Each check of `gate doctor` over made-up facts: when it is content, and what it says where it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.cells import cells_of
from gate.doctor.checks import CHECKS, O200K_SHA256, Finding, examine, exit_of
from gate.doctor.facts import (
    Actions,
    ContainerEngine,
    DatasetFacts,
    Disk,
    Encodings,
    EngineFacts,
    Facts,
    GpuChoice,
    ModelFacts,
    Moment,
    Token,
)
from gate.errors import Exit
from gate.serving.gpu import Gpu, GpuProcess
from tests.support.project import ROOT

GIB = 1 << 30
MODEL = ModelFacts("acme/tiny", "c" * 40, commit="c" * 40, size=13 * GIB, listed=True)
MI355X = Gpu("gfx950", "AMD Instinct MI355X", "6.14.14", memory=294896, used=283)
IMAGE = "vllm@sha256:" + "0" * 64
VERSIONS = {"engine_version": "0.32.0", "engine_commit": "9a1c0c4", "harmony": "0.0.11"}
NO_CLIENT = ContainerEngine("docker", None, problem="docker not found", do="install Docker")
SILENT = ContainerEngine("podman", None)
PODMAN = ContainerEngine("podman", "linux 5")
FILLED = PODMAN._replace(has_image=True)
PUSH = Moment("the push", 1_795_400_000.0)
EARLIER = Moment("the file gather.py", 1_795_000_000.0)
# Eight free GPUs and everything there: every check is content.
READY = Facts(
    specs=cells_of([ROOT / "configs/models-gfx950.txt"], arch=None),
    engine=EngineFacts(
        "vllm", {"engine_version": "0.32.0", "engine_commit": "9a1c0c4", "harmony": "0.0.11"}, True
    ),
    image=None,
    arch="gfx950",
    arch_problem=None,
    gpus=(MI355X,) * 8,
    gpu_choice=None,
    gpu_processes=(),
    memory_total=512 * GIB,
    memory_available=400 * GIB,
    disks=(Disk("results", Path("/out"), 90 * GIB), Disk("models", Path("/hf"), 900 * GIB)),
    models=(MODEL,),
    datasets=(DatasetFacts("gpqa_diamond", 198),),
    encodings=(Encodings(None, None),),
    ports=(32768, 60999),
    port_problem=None,
    container_engine=None,
    now=1_795_500_000.0,
    moments=(PUSH,),
    hf_token=False,
    token=None,
    actions=None,
)


def found(name: str, **changes: Any) -> Finding:
    """What one check says of a runner that is ready but for these facts."""
    return next(one for one in examine(replace(READY, **changes)) if one.name == name)


def test_a_runner_that_has_everything_is_ready() -> None:
    findings = examine(READY)
    assert {finding.status for finding in findings} == {"ok"}
    assert not [finding for finding in findings if finding.do]
    assert exit_of(findings) is Exit.PASS


def test_what_to_do_about_an_engine_is_what_was_said_where_it_could_not_be_asked() -> None:
    wrapped = BROKEN_ENGINE._replace(do="give --engine-command as '/path/to/python -m ...'")
    assert found("engine", engine=wrapped).do == wrapped.do
    assert found("engine", engine=BROKEN_ENGINE).do == "give --engine-command or --engine-image"


def test_one_failure_is_enough_and_a_warning_is_not() -> None:
    assert exit_of([Finding("a", "ok", ""), Finding("b", "warn", "")]) is Exit.PASS
    assert exit_of([Finding("a", "ok", ""), Finding("b", "fail", "")]) is Exit.USAGE


CPU = replace(READY, arch="cpu", gpus=())
BROKEN_ENGINE = EngineFacts("vllm", {}, problem="the engine's command 'vllm' is not found")
NO_VLLM = EngineFacts("python", {"python": "3.12.3"}, importable=False)
EDITED = EngineFacts("vllm", {**VERSIONS, "engine_edits": "1a2b3c4d5e6f"}, True)
NO_COMMIT = EngineFacts("vllm", {"engine_version": "0.32.0"}, importable=True)
OLD_HARMONY = EngineFacts("vllm", {"openai_harmony": "0.0.4"}, importable=True)
NO_HARMONY = EngineFacts("vllm", {"engine_version": "0.32.0"}, importable=True)
GPT_OSS = MODEL._replace(is_harmony=True)
O200K = Encodings("/enc", O200K_SHA256)
NOT_IN_IMAGE = Encodings("/opt/enc", None, in_image=True)


@pytest.mark.parametrize(
    ("name", "changes", "status", "says"),
    [
        ("engine", {"engine": BROKEN_ENGINE}, "fail", "'vllm' is not found"),
        ("engine", {"engine": NO_VLLM}, "fail", "the Python 3.12.3 behind python has no vllm"),
        ("engine", {"engine": NO_COMMIT}, "warn", "vLLM 0.32.0, commit not known"),
        ("engine", {"engine": EDITED}, "warn", "commit 9a1c0c4 with other changes (1a2b3c4d5e6f)"),
        ("engine", {"image": IMAGE}, "ok", f"vLLM 0.32.0 in the image {IMAGE}, commit "),
        ("engine", {"image": IMAGE, "engine": BROKEN_ENGINE}, "fail", "not found"),
        ("engine", {"image": IMAGE, "engine": NO_VLLM}, "fail", f"behind {IMAGE} has no vllm"),
        ("arch", {"arch": None, "arch_problem": "no tool tells"}, "fail", "no tool tells"),
        ("arch", {"arch": "gfx942"}, "fail", "models-gfx950.txt is for gfx950"),
        ("gpus", {"gpus": ()}, "fail", "8 are needed, 0 are seen"),
        ("gpus", {"gpus": (MI355X,) * 7}, "fail", "8 are needed, 7 are seen"),
        ("gpus", {"gpus": (*[MI355X] * 7, MI355X._replace(used=None))}, "warn", "nobody tells"),
        ("gpus", {"gpu_processes": (GpuProcess(7, "python"),)}, "fail", "in use by python (pid 7)"),
        ("gpus", {"gpus": (*[MI355X] * 7, MI355X._replace(used=90_000))}, "fail", "GPU 7 90,000 MiB"),
        ("gpus", {"gpus": (MI355X._replace(used=None),) * 8}, "warn", "nobody tells whether they are free"),
        ("gpus", {"arch": "cpu", "gpus": ()}, "ok", "none is needed"),
        ("gpu memory", {"models": (MODEL._replace(size=400 * GIB),)}, "fail", "the weights take 400.0 GiB"),
        ("gpu memory", {"models": (MODEL, MODEL._replace(size=400 * GIB))}, "fail", "weights take 400.0 GiB"),
        ("gpu memory", {"gpus": (MI355X, MI355X._replace(memory=12_000))}, "fail", "hold 11.7 GiB"),
        ("gpu memory", {"models": ()}, "warn", "the size of the weights is not known"),
        (
            "gpu memory",
            {"gpus": (MI355X._replace(memory=None),)},
            "warn",
            "size of the GPUs is not known",
        ),
        ("memory", {"models": ()}, "ok", "weights of unknown size"),
        (
            "gpus",
            {"gpu_choice": GpuChoice("HIP_VISIBLE_DEVICES", "0,1", 2)},
            "fail",
            "='0,1' shows",
        ),
        ("gpus", {"gpu_choice": GpuChoice("HIP_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7", 8)}, "ok", "free"),
        ("gpu memory", {"arch": "cpu"}, "ok", "the machine's memory"),
        ("memory", {"models": (MODEL, MODEL._replace(size=400 * GIB))}, "fail", "weights of 400.0 GiB"),
        ("memory", {"memory_available": 14 * GIB}, "fail", "14.0 GiB of 512.0 GiB available"),
        ("disk", {"disks": (Disk("results", Path("/out"), GIB // 2),)}, "fail", "results 0.5 GiB (/out)"),
        ("disk", {"disks": (Disk("results", Path("/out"), 2 * GIB),)}, "warn", "results 2.0 GiB"),
        ("disk", {"models": (MODEL._replace(to_fetch=999 * GIB),)}, "fail", "models 900.0 GiB (/hf)"),
        ("disk", {"models": (MODEL._replace(to_fetch=500 * GIB),) * 2}, "fail", "models 900.0 GiB (/hf)"),
        ("disk", {"models": (MODEL._replace(to_fetch=500 * GIB),)}, "ok", "results 90.0 GiB"),
        ("model", {"models": (MODEL._replace(problem="not in /hf"),)}, "fail", "acme/tiny: not in /hf"),
        ("model", {"models": (MODEL._replace(pinned=None),)}, "warn", "is not pinned"),
        ("model", {"models": (MODEL._replace(listed=False),)}, "warn", "complete by its own index only"),
        ("model", {"models": (ModelFacts("m", None, folder=Path("/m")),)}, "ok", "m (/m)"),
        ("hf token", {"hf_token": True}, "warn", "HF_TOKEN is set here"),
        ("data sets", {"datasets": (DatasetFacts("gsm8k", problem="altered"),)}, "fail", "gsm8k: altered"),
        ("harmony", {"models": (GPT_OSS,)}, "ok", "oss-harmony 0.0.11 carries"),
        ("harmony", {"models": (GPT_OSS,), "engine": OLD_HARMONY, "encodings": (O200K,)}, "ok", "is in /enc"),
        (
            "harmony",
            {"models": (GPT_OSS,), "engine": OLD_HARMONY},
            "fail",
            "TIKTOKEN_ENCODINGS_BASE is not set",
        ),
        (
            "harmony",
            {"models": (GPT_OSS,), "engine": OLD_HARMONY, "encodings": (O200K, NOT_IN_IMAGE)},
            "fail",
            "which is not there: /opt/enc of the image",
        ),
        (
            "harmony",
            {"models": (GPT_OSS,), "engine": OLD_HARMONY, "encodings": (Encodings("/enc", "0" * 64),)},
            "fail",
            "which is another file",
        ),
        ("harmony", {"models": (GPT_OSS,), "engine": NO_HARMONY}, "fail", "neither oss-harmony"),
        (
            "harmony",
            {"models": (GPT_OSS,), "engine": None, "image": IMAGE},
            "warn",
            "did not answer",
        ),
        ("harmony", {"models": (MODEL, GPT_OSS), "engine": NO_HARMONY}, "fail", "neither oss-harmony"),
        ("ports", {"port_problem": "no port can be had"}, "fail", "no port can be had"),
        ("ports", {"ports": (60000, 60100)}, "warn", "60000 to 60100"),
        ("ports", {"ports": None}, "ok", "127.0.0.1"),
        ("container", {"image": IMAGE, "container_engine": NO_CLIENT}, "fail", "docker not found"),
        ("container", {"image": IMAGE, "container_engine": SILENT}, "fail", "podman: its server does not"),
        ("container", {"image": IMAGE, "container_engine": PODMAN}, "warn", "not here yet"),
        ("container", {"image": "vllm:nightly", "container_engine": FILLED}, "warn", "can move"),
        ("container", {"image": IMAGE, "container_engine": FILLED}, "ok", "the image is here"),
        ("clock", {"now": 0.0}, "fail", "it says 1970-01-01"),
        ("clock", {"now": PUSH.seconds - 119}, "ok", "later than the push"),
        ("clock", {"now": PUSH.seconds - 121}, "fail", "and the push is of 2026-11-23"),
        ("clock", {"now": PUSH.seconds - 121, "moments": (PUSH, EARLIER)}, "fail", "the push"),
        ("clock", {"moments": ()}, "ok", "compared with nothing"),
        ("github token", {"token": Token("GITHUB_TOKEN", "k", ("repo",))}, "fail", "has the scopes repo"),
        ("github token", {"token": Token("GH_TOKEN", "k", ("write:packages",))}, "fail", "write:packages"),
        *(
            ("github token", {"token": Token("GH_TOKEN", "k", ("read:org", wide))}, "fail", f"scopes {wide}")
            for wide in ("public_repo", "workflow", "gist", "admin:org", "delete_repo")
        ),
        ("github token", {"token": Token("GH_TOKEN", "k", may_push=True)}, "fail", "write access"),
        ("github token", {"token": Token("GH_TOKEN", "k", problem="GitHub answered 401")}, "warn", "401"),
        ("github token", {"token": Token("GH_TOKEN", "k", ("read:org",), False)}, "ok", "cannot write"),
        ("runner", {"actions": Actions(True, True, False)}, "fail", "persistent, for a public repository"),
        ("runner", {"actions": Actions(True, None, None)}, "fail", "persistent, as far as can be told"),
        ("runner", {"actions": Actions(True, True, True)}, "ok", "ephemeral"),
        ("runner", {"actions": Actions(True, False, False)}, "ok", "private"),
        ("runner", {"actions": Actions(False, True, None)}, "ok", "not a self-hosted runner"),
        (
            "runner",
            {"actions": Actions(True, True, False), "allow_persistent": True},
            "warn",
            "one pull request can leave something for the next",
        ),
    ],
)
def test_a_check_says_what_it_found(name: str, changes: dict[str, Any], status: str, says: str) -> None:
    finding = found(name, **changes)
    assert (finding.status, says in finding.said) == (status, True), finding


def test_whatever_is_not_ok_says_what_to_do_unless_nothing_can_be_known() -> None:
    helpless = {("gpu memory", "warn"), ("harmony", "warn")}
    for changes in (
        {"engine": BROKEN_ENGINE},
        {"arch": None},
        {"gpus": ()},
        {"memory_available": 0},
        {"disks": (Disk("results", Path("/out"), 0),)},
        {"models": (MODEL._replace(problem="gone"),)},
        {"hf_token": True},
        {"port_problem": "none"},
        {"image": IMAGE, "container_engine": SILENT},
        {"now": 0.0},
        {"token": Token("GH_TOKEN", "k", may_push=True)},
        {"actions": Actions(True, True, False)},
    ):
        bad = [one for one in examine(replace(READY, **changes)) if one.status != "ok"]
        assert bad
        assert not [one for one in bad if not one.do and (one.name, one.status) not in helpless]


def test_what_to_do_about_a_container_is_said_for_the_client_that_was_asked() -> None:
    image = {"image": IMAGE}
    assert found("container", **image, container_engine=NO_CLIENT).do == "install Docker"
    assert found("container", **image, container_engine=SILENT).do == "start it, and let this user use it"
    assert found("container", **image, container_engine=PODMAN).do == f"podman pull {IMAGE}"


def test_every_check_has_a_name_of_its_own_and_says_what_it_is_for() -> None:
    assert len({function.__name__ for function in CHECKS.values()}) == len(CHECKS)
    assert not [name for name, function in CHECKS.items() if not function.__doc__]
