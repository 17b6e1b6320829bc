"""What a sabotage drill found: which detector saw which fault, and which healthy engine was not left alone.

Two detectors: the numerics probe, and the sequential test of the score. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from gate.decide.words import count
from gate.model.fields import Frozen
from gate.model.probe import Numerics
from gate.model.result import Verdict

HARMFUL: Final = 2.0
"""A fault that moves the log-probabilities this many times as much as healthy variants do must be caught."""


class ScoreTest(Frozen):
    """What the test of the score said: verdict, difference in points, and what it took."""

    verdict: Verdict
    difference: float | None
    samples: int
    seconds: float


class Trial(Frozen):
    """One engine, healthy or broken.

    `shift` is the mean |difference of a log-probability| from the baseline in nats, `numerics` the probe's
    answer, against the floor of all healthy variants; `strict` the same against the floor of reruns alone.
    """

    name: str
    what: str
    kind: Literal["fault", "healthy"]
    numerics: Numerics
    strict: Numerics | None = None
    score: ScoreTest | None = None

    @property
    def probe_alarms(self) -> bool:
        """Whether the probe would have been heard."""
        return self.numerics.state in ("changed", "broken")

    @property
    def score_alarms(self) -> bool:
        """Whether the score's test proved a drop."""
        return self.score is not None and self.score.verdict is Verdict.REGRESSION


class Selftest(Frozen):
    """A whole drill, or what is done of it.

    `healthy_shift`: the largest mean shift of a healthy variant, in nats. `pending`: what was not done.
    `probe_seconds`: middle and longest of the probes at full concurrency, beyond serving; `load`: the
    machine's largest load average meanwhile.
    """

    created: str
    machine: str
    engine: str
    healthy_shift: float
    trials: tuple[Trial, ...]
    pending: tuple[str, ...] = ()
    probe_seconds: tuple[float, float] = (0.0, 0.0)
    load: float = 0.0

    @property
    def missed(self) -> tuple[Trial, ...]:
        """Harmful faults that nobody saw."""
        return tuple(
            trial
            for trial in self.trials
            if trial.kind == "fault"
            and ratio(trial, self) >= HARMFUL
            and not (trial.probe_alarms or trial.score_alarms)
        )

    @property
    def false_alarms(self) -> tuple[Trial, ...]:
        """Healthy variants that were not left in peace by their own baseline."""
        return tuple(
            trial
            for trial in self.trials
            if trial.kind == "healthy" and (trial.probe_alarms or trial.score_alarms)
        )

    @property
    def passed(self) -> bool:
        """Whether this gate can fail, and fails nothing healthy; only a whole drill shows that."""
        return not (self.missed or self.false_alarms or self.pending)


def ratio(trial: Trial, drill: Selftest) -> float:
    """How much a trial moved the log-probabilities, in units of the healthy variants."""
    return (trial.numerics.shift or 0.0) / drill.healthy_shift


def render(drill: Selftest) -> str:
    """The drill as Markdown: one row a trial."""
    faults = [trial for trial in drill.trials if trial.kind == "fault"]
    healthy = [trial for trial in drill.trials if trial.kind == "healthy"]
    seen = [trial for trial in faults if trial.probe_alarms or trial.score_alarms]
    harmful = [trial for trial in faults if ratio(trial, drill) >= HARMFUL]
    missed = ", ".join(trial.name for trial in drill.missed)
    alarms = ", ".join(trial.name for trial in drill.false_alarms)
    middle, longest = drill.probe_seconds
    lines = [
        "# Can this gate fail?",
        "",
        f"`make selftest` on {drill.created}, {drill.machine}, {drill.engine}. It writes this page.",
        "",
        f"{len(seen)} of {len(faults)} faults were seen. {len(harmful)} of them move the log-probabilities",
        f"at least {HARMFUL:g} times as much as healthy variants do ({drill.healthy_shift:.3f} nat).",
        f"Missed of those: {missed or 'none'}.",
        f"False alarms on {len(healthy)} healthy variants: {alarms or 'none'}.",
        *([f"**Not done:** {', '.join(drill.pending)}."] if drill.pending else []),
        "",
        f"A probe took {middle:.1f} s, at most {longest:.1f} s, beyond serving.",
        f"Load average of the machine: up to {drill.load:.1f}.",
        "",
        "- Shift: mean |difference of a log-probability|, in units of the largest healthy one.",
        "- Probe: drift in units of the noise floor, and p: against the floor of all healthy variants, and",
        "  against that of reruns alone.",
        "- Score: the sequential test against the committed baseline, in the time it was given.",
        "",
        "| fault | what is wrong | shift | probe | reruns alone | score | seen by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(trial, drill) for trial in faults),
        "",
        "| healthy variant | against | probe | score |",
        "| --- | --- | --- | --- |",
        *(f"| {t.name} | {t.what} | {_probe(t.numerics)} | {_score(t.score)} |" for t in healthy),
        "",
    ]
    return "\n".join(lines)


def _row(trial: Trial, drill: Selftest) -> str:
    seen = [name for name, alarms in (("probe", trial.probe_alarms), ("score", trial.score_alarms)) if alarms]
    cells: Sequence[str] = (
        trial.name,
        trial.what,
        f"{ratio(trial, drill):.2g}x",
        _probe(trial.numerics),
        _probe(trial.strict),
        _score(trial.score),
        " and ".join(seen) or ("**nobody**" if ratio(trial, drill) >= HARMFUL else "nobody"),
    )
    return f"| {' | '.join(cells)} |"


def _probe(numerics: Numerics | None) -> str:
    if numerics is None:
        return ""
    times = "" if numerics.times is None else f" {_short(numerics.times)}x"
    p = "" if numerics.p_value is None else f", p {numerics.p_value:.1g}"
    few = " a few prompts" if numerics.few else ""
    where = f"{few} in {numerics.path}" if numerics.path and numerics.state != "unchanged" else ""
    return f"{numerics.state}{where}{times}{p}"


def _score(score: ScoreTest | None) -> str:
    if score is None:
        return "not run"
    points = "" if score.difference is None else f" {100 * score.difference:+.1f} points"
    return f"{score.verdict.value}{points}, {count(score.samples, 'sample')}, {score.seconds:.0f} s"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"  # noqa: PLR2004 - two digits
