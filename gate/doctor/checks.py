"""The checks of `gate doctor`: each one looks at the facts and says ok, warn or fail, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from gate.decide.words import count
from gate.doctor.facts import MODELS, Encodings, Facts
from gate.errors import Exit

Status = Literal["ok", "warn", "fail"]

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20
O200K_SHA256: Final = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
IDLE_MIB: Final = 1024  # what a driver and a display take; an engine that died without letting go takes more
LEAST_DISK: Final = 1 * _GIB
GOOD_DISK: Final = 5 * _GIB  # logs, journals, and just-in-time kernels of one engine
SPARE_MEMORY: Final = 2 * _GIB
FEW_PORTS: Final = 1000
CLOCK_SLACK: Final = 120.0


class Finding(NamedTuple):
    """What one check says; `do` is empty where nothing has to be done."""

    name: str
    status: Status
    said: str
    do: str = ""


Said = tuple[Status, str] | tuple[Status, str, str]
Check = Callable[[Facts], Said]
CHECKS: Final[dict[str, Check]] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check under the name that its line begins with."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Every check, in the order they are written here."""
    return tuple(Finding(name, *function(facts)) for name, function in CHECKS.items())


def exit_of(findings: Iterable[Finding]) -> Exit:
    """USAGE where a check failed: this runner must not measure."""
    return Exit.USAGE if any(finding.status == "fail" for finding in findings) else Exit.PASS


@check("engine")
def engine(facts: Facts) -> Said:
    """The engine's command or image exists, and its Python finds vLLM."""
    found = facts.engine
    if found is None or found.problem:
        said = found.problem if found and found.problem else "not looked for"
        return "fail", said, (found.do if found else "") or "give --engine-command or --engine-image"
    if not found.importable:
        python = found.versions.get("python", "of an unknown version")
        return (
            "fail",
            f"the Python {python} behind {facts.image or found.command} has no vllm",
            "install it there",
        )
    commit = found.versions.get("engine_commit")
    version = found.versions.get("engine_version", "of an unknown version")
    version += f" in the image {facts.image}" if facts.image else ""
    if commit is None:
        do = "build it from a checkout, so that reports can name the commit that was measured"
        return "warn", f"vLLM {version}, commit not known", do
    if edits := found.versions.get("engine_edits"):
        do = "commit them there: no baseline can be collected from an engine that no commit describes"
        return "warn", f"vLLM {version}, commit {commit} with other changes ({edits})", do
    return "ok", f"vLLM {version}, commit {commit}"


@check("arch")
def arch(facts: Facts) -> Said:
    """The architecture is known, and it is that of the lists."""
    if facts.arch is None:
        return (
            "fail",
            facts.arch_problem or "nobody tells",
            "give --arch, or install amdsmi in the engine's Python",
        )
    lists = {spec.list_name: spec.runner.arch for spec in facts.specs if spec.list_name and spec.runner}
    others = [f"{name} is for {where}" for name, where in lists.items() if where != facts.arch]
    if others:
        return (
            "fail",
            f"this is {facts.arch}, and {', '.join(others)}",
            "run another list here, or give --arch",
        )
    return "ok", facts.arch


@check("gpus")
def gpus(facts: Facts) -> Said:
    """There are as many GPUs as the largest cell needs, and nobody else is on them."""
    needed = max((spec.gpus for spec in facts.specs), default=0)
    if facts.arch == "cpu":
        return "ok", "none is needed on a CPU"
    if few := _too_few(facts, needed):
        return few
    if facts.gpu_processes:
        who = ", ".join(f"{process.name} (pid {process.pid})" for process in facts.gpu_processes)
        return "fail", f"in use by {who}", "end it, or wait: a neighbour changes speed and memory"
    held = [f"GPU {n} {gpu.used:,} MiB" for n, gpu in enumerate(facts.gpus) if (gpu.used or 0) > IDLE_MIB]
    if held:
        do = "find the process (lsof /dev/kfd /dev/nvidia*), or reset the GPU: memory was not given back"
        return "fail", f"memory is held, and no process is named: {', '.join(held)}", do
    if any(gpu.used is None for gpu in facts.gpus) or not facts.gpus:
        do = "install amdsmi in the engine's Python, or nvidia-smi"
        return "warn", f"{len(facts.gpus)} seen; nobody tells whether they are free", do
    return "ok", f"{len(facts.gpus)} x {facts.gpus[0].name or facts.arch}, free"


def _too_few(facts: Facts, needed: int) -> Said | None:
    if needed > len(facts.gpus):
        said = f"{needed} are needed, {len(facts.gpus)} are seen"
        return "fail", said, "check the driver and *_VISIBLE_DEVICES"
    choice = facts.gpu_choice
    if choice is not None and choice.shown < needed:
        said = f"{needed} are needed, and {choice.variable}={choice.value!r} shows an engine {choice.shown}"
        return "fail", said, f"unset {choice.variable}, or name more GPUs there"
    return None


@check("gpu memory")
def gpu_memory(facts: Facts) -> Said:
    """The weights fit the GPUs of a cell."""
    weights = max((model.size or 0 for model in facts.models), default=0)
    each = min((gpu.memory or 0 for gpu in facts.gpus), default=0) * _MIB
    if facts.arch == "cpu":
        return "ok", "the weights are held in the machine's memory"
    if not each:
        return (
            "warn",
            "the size of the GPUs is not known",
            "install amdsmi in the engine's Python, or nvidia-smi",
        )
    if not weights:
        return "warn", f"{_gib(each)} each; the size of the weights is not known", "see the line on the model"
    fewest = min((spec.gpus for spec in facts.specs), default=1) or 1
    if weights > fewest * each:
        said = f"the weights take {_gib(weights)}, and {fewest} of these GPUs hold {_gib(fewest * each)}"
        return "fail", said, "raise --tensor-parallel-size, or use a larger GPU"
    return "ok", f"{_gib(each)} each, for weights of {_gib(weights)}"


@check("memory")
def memory(facts: Facts) -> Said:
    """The machine's memory holds the weights while they are loaded."""
    weights = max((model.size or 0 for model in facts.models), default=0)
    needed, free = weights + SPARE_MEMORY, facts.memory_available
    size = f"weights of {_gib(weights)}" if weights else "weights of unknown size"
    said = f"{_gib(free)} of {_gib(facts.memory_total)} available, {size}"
    if free < needed:
        return "fail", said, f"free at least {_gib(needed)}"
    return "ok", said


@check("disk")
def disk(facts: Facts) -> Said:
    """There is room for what is still to be fetched, for logs, journals and just-in-time kernels."""
    said = ", ".join(f"{disk.what} {_gib(disk.free)} ({disk.path})" for disk in facts.disks)
    short = [disk for disk in facts.disks if disk.free < LEAST_DISK]
    if short:
        return "fail", said, f"free {_gib(LEAST_DISK)} at least: {short[0].path}"
    needed = sum(model.to_fetch for model in facts.models)
    small = [disk for disk in facts.disks if disk.what == MODELS and disk.free < needed]
    if small:
        return "fail", said, f"free {_gib(needed)} for the models: {small[0].path}"
    if any(disk.free < GOOD_DISK for disk in facts.disks):
        return "warn", said, f"less than {_gib(GOOD_DISK)} may not last for logs and kernel caches"
    return "ok", said


@check("model")
def model(facts: Facts) -> Said:
    """Every model is there in full, at its pinned revision."""
    broken = [f"{model.name}: {model.problem}" for model in facts.models if model.problem]
    if broken:
        return (
            "fail",
            "; ".join(broken),
            "run `gate prefetch` in a job that may, or give --model and --hf-home",
        )
    loose = [model for model in facts.models if model.folder is None and not model.pinned]
    if loose:
        do = f"write model_revision: {loose[0].commit} into the config"
        return "warn", f"{loose[0].name} is there, and is not pinned", do
    unlisted = [model.name for model in facts.models if model.folder is None and not model.listed]
    if unlisted:
        do = "fill the cache with `gate prefetch`, which keeps a list of what the hub has"
        return "warn", f"{', '.join(unlisted)}: complete by its own index only", do
    names = (f"{model.name} ({model.folder or model.commit})" for model in facts.models)
    return "ok", ", ".join(names) or "no config is named"


@check("hf token")
def hf_token(facts: Facts) -> Said:
    """A job that measures reads a cache and needs no token."""
    if facts.hf_token:
        do = "keep it for the job that runs `gate prefetch`; the engine under test is contributors' code"
        return "warn", "HF_TOKEN is set here", do
    return "ok", "none is set, and none is needed"


@check("data sets")
def data_sets(facts: Facts) -> Said:
    """Every question set can be read and is the published one."""
    broken = [f"{one.name}: {one.problem}" for one in facts.datasets if one.problem]
    if broken:
        return "fail", "; ".join(broken), "run `gate prefetch`, or give --dataset-path"
    said = ", ".join(f"{one.name} ({count(one.questions, 'question')})" for one in facts.datasets)
    return "ok", said or "no config is named"


@check("harmony")
def harmony(facts: Facts) -> Said:
    """The encoding that harmony models need is where the engine looks for it."""
    if not any(model.is_harmony for model in facts.models):
        return "ok", "no gpt-oss model is measured"
    versions = facts.engine.versions if facts.engine else {}
    if "harmony" in versions:
        return "ok", f"oss-harmony {versions['harmony']} carries its encoding"
    if not versions:
        return "warn", "not known: the engine's Python did not answer", "see the line on the engine"
    if "openai_harmony" not in versions:
        return "fail", "the engine has neither oss-harmony nor openai-harmony", "install the engine whole"
    places = [_where(one) for one in facts.encodings]
    for place, one in zip(places, facts.encodings, strict=True):
        if one.sha256 != O200K_SHA256:
            wrong = "is another file" if one.sha256 else "is not there"
            return "fail", f"openai-harmony needs o200k_base.tiktoken, which {wrong}: {place}", _remedy(one)
    return "ok", f"o200k_base.tiktoken is in {', '.join(places)}"


def _where(one: Encodings) -> str:
    if one.base is None:
        return "TIKTOKEN_ENCODINGS_BASE is not set"
    return f"{one.base} of the image" if one.in_image else one.base


def _remedy(one: Encodings) -> str:
    if one.in_image:
        return (
            "put it there, or set TIKTOKEN_ENCODINGS_BASE here and not in the config: that folder is mounted"
        )
    return "put it into a folder and set TIKTOKEN_ENCODINGS_BASE to that: nothing is downloaded"


@check("ports")
def ports(facts: Facts) -> Said:
    """A port can be had on the loopback interface."""
    if facts.port_problem:
        return "fail", facts.port_problem, "check the loopback interface and the limits of this user"
    if facts.ports is None:
        return "ok", "one can be had on 127.0.0.1"
    first, last = facts.ports
    said = f"{first} to {last} on 127.0.0.1"
    if last - first < FEW_PORTS:
        return "warn", said, "widen net.ipv4.ip_local_port_range: clients need many at once"
    return "ok", said


@check("container")
def container(facts: Facts) -> Said:
    """Where an image is measured: its engine answers and has the image, and nothing would run as root."""
    found = facts.container_engine
    if facts.image is None or found is None:
        return "ok", "not needed: the engine is a command"
    if found.server is None:
        do = found.do or "start it, and let this user use it"
        return "fail", found.problem or f"{found.client}: its server does not answer", do
    if not found.has_image:
        return "warn", f"{found.server}; the image is not here yet", f"{found.client} pull {facts.image}"
    return _pinned(facts.image, found.server)


def _pinned(image: str, server: str) -> Said:
    if "@sha256:" not in image:
        return "warn", f"{server}; {image} is a name that can move", "give the image by digest"
    return "ok", f"{server}, the image is here"


@check("clock")
def clock(facts: Facts) -> Said:
    """Now is not before something that has certainly happened."""
    if not facts.moments:
        return "ok", f"{_utc(facts.now)}, compared with nothing"
    last = max(facts.moments, key=lambda moment: moment.seconds)
    if facts.now < last.seconds - CLOCK_SLACK:
        said = f"it says {_utc(facts.now)}, and {last.what} is of {_utc(last.seconds)}"
        return "fail", said, "set it: dates of baselines, certificates and reports depend on it"
    return "ok", f"{_utc(facts.now)}, later than {last.what}"


@check("github token")
def github_token(facts: Facts) -> Said:
    """No token that writes is where the engine under test runs."""
    found = facts.token
    if found is None:
        return "ok", "none is in the environment, and none is needed to measure"
    wide = [scope for scope in found.scopes if scope in _WRITING or scope.startswith(_WRITING_KINDS)]
    do = "measure without a token; report from another job, with its own permissions"
    if wide or found.may_push:
        what = f"the scopes {', '.join(wide)}" if wide else "write access to the repository"
        return "fail", f"{found.variable} ({found.kind}) has {what}", do
    if found.problem:
        return (
            "warn",
            f"{found.variable} ({found.kind}) is set; what it may do is not known: {found.problem}",
            do,
        )
    return "ok", f"{found.variable} ({found.kind}) cannot write to the repository"


_WRITING_KINDS: Final = ("write:", "admin:", "delete")
_WRITING: Final = frozenset({"repo", "public_repo", "workflow", "gist", "user", "project", "codespace"})


@check("runner")
def runner(facts: Facts) -> Said:
    """Strangers' code does not meet a machine that remembers."""
    job = facts.actions
    if job is None or not job.self_hosted:
        return "ok", "not a self-hosted runner of GitHub Actions"
    if job.public is False:
        return "ok", "self-hosted, for a private repository"
    if job.ephemeral:
        return "ok", "self-hosted, ephemeral"
    kind = "persistent" if job.ephemeral is False else "persistent, as far as can be told"
    where = "a public repository" if job.public else "a repository that may be public"
    said = f"self-hosted and {kind}, for {where}: one pull request can leave something for the next"
    if facts.allow_persistent:
        return "warn", said, "asked for with --allow-persistent"
    return "fail", said, "register it with --ephemeral, or say that you want it with --allow-persistent"


def _gib(size: float) -> str:
    return f"{size / _GIB:.1f} GiB"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
