"""The words and figures of a report, the same in Markdown, on a terminal and in a log.

Plain text only: whoever renders it escapes it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gate.decide.words import count as number_of
from gate.model.result import CellResult, GateReport, Verdict
from gate.numerics.words import outcome_line
from gate.report.context import Context

WORST_FIRST: Final = (
    Verdict.REGRESSION,
    Verdict.NOT_MEASURED,
    Verdict.INCOMPARABLE,
    Verdict.INCONCLUSIVE,
    Verdict.NO_BASELINE,
    Verdict.PASS,
)
FAILURES: Final = (Verdict.REGRESSION, Verdict.NOT_MEASURED, Verdict.INCOMPARABLE)
FACT_ORDER: Final = ("moe", "experts", "scheme", "activation", "attention", "kv_cache_dtype", "tp")
SINGLE: Final = {"kl": "divergence", "shift": "log-probability"}
_SMALLEST_P: Final = 1e-12
_UNREMARKABLE: Final = 0.1
_MINUS: Final = "\N{MINUS SIGN}"


class Face(NamedTuple):
    """How a verdict looks: only `pass` has the check mark, and no verdict is told by colour alone."""

    icon: str
    word: str
    style: str


def face(verdict: Verdict) -> Face:
    """Icon, word and terminal style of a verdict."""
    faces = {
        Verdict.PASS: Face("✅", "pass", "green"),
        Verdict.REGRESSION: Face("❌", "regression", "bold red"),
        Verdict.NOT_MEASURED: Face("⛔", "not measured", "bold magenta"),
        Verdict.INCOMPARABLE: Face("⚠️", "incomparable", "bold magenta"),
        Verdict.INCONCLUSIVE: Face("❔", "inconclusive", "yellow"),
        Verdict.NO_BASELINE: Face("⬜", "no baseline", "yellow"),
    }
    return faces[verdict]


def worst(report: GateReport) -> Verdict:
    """The verdict to show: never better than the worst cell, and not a pass when there is no cell."""
    if not report.cells:
        return Verdict.NOT_MEASURED
    return min({report.verdict, *(cell.verdict for cell in report.cells)}, key=WORST_FIRST.index)


def tally(cells: Iterable[CellResult]) -> dict[Verdict, int]:
    """How many cells have each verdict, worst first, without zeros."""
    verdicts = [cell.verdict for cell in cells]
    return {verdict: verdicts.count(verdict) for verdict in WORST_FIRST if verdict in verdicts}


def nothing_selected(report: GateReport, context: Context | None) -> bool:
    """Whether there is no cell only because the base branch selects none for this event."""
    return bool(context and context.not_selected and not report.cells)


def headline(report: GateReport, context: Context | None = None) -> str:
    """The verdict of the run in words: that of its worst cell."""
    if nothing_selected(report, context):
        return "Nothing to measure: the base branch selects no cell for this change"
    if not report.cells:
        return "Not measured: no cell was measured, so nothing is known about this change"
    verdict, total = worst(report), len(report.cells)
    n = tally(report.cells).get(verdict, 0)
    some = f"all {total:,} cells" if n == total else f"{n:,} of {total:,} cells"
    which = some if total > 1 else "the only cell"
    return {
        Verdict.PASS: f"Pass: {_ruled_out(report.cells)}",
        Verdict.REGRESSION: f"Regression: a drop is proven in {which}",
        Verdict.NOT_MEASURED: f"Not measured: {which} could not be measured, so nothing is known there",
        Verdict.INCOMPARABLE: f"Incomparable: the baseline of {which} was made under other conditions",
        Verdict.INCONCLUSIVE: f"Inconclusive: the samples did not decide {which}",
        Verdict.NO_BASELINE: f"No baseline: nothing is stored to compare {which} with",
    }[verdict]


def counted(cells: Iterable[CellResult]) -> str:
    """`1 regression, 3 pass`: how many cells have each verdict."""
    return ", ".join(f"{number:,} {face(verdict).word}" for verdict, number in tally(cells).items())


def percent(fraction: float | None, digits: int = 1) -> str:
    """`58.3 %`, or a dash where there is no figure."""
    return "—" if fraction is None else f"{100 * fraction:.{digits}f} %"


def figure(fraction: float, *, signed: bool = False) -> str:
    """A fraction in percentage points, without the unit: `3`, `-4.2`, `+0.5`, with a minus sign."""
    text = f"{100 * fraction:{'+' if signed else ''}.1f}"
    text = "0.0" if float(text) == 0 else text.replace("-", _MINUS)
    return text.removesuffix(".0")


def points(fraction: float, *, signed: bool = False) -> str:
    """A difference of scores in percentage points: `3 points`, `-4.2 points` when signed."""
    number = figure(fraction, signed=signed)
    return f"{number} {'point' if number.lstrip(_MINUS + '+') == '1' else 'points'}"


def count(number: int, noun: str = "") -> str:
    """`1,188`; with a noun `1,188 samples` and `1 sample`."""
    return number_of(number, noun) if noun else f"{number:,}"


def held_against(statistic: float | None, boundary: float) -> str:
    """`3.51 / 3.30, reached`: a test statistic and what it has to reach, or that there is no test."""
    if statistic is None:
        return "no test"
    pair = f"{statistic:.2f} / {boundary:.2f}".replace("-", _MINUS)
    return f"{pair}, reached" if statistic >= boundary else pair


def interval(cell: CellResult) -> str:
    """`-6.1 to -2.3`, in points."""
    if cell.interval is None:
        return "not known"
    low, high = cell.interval
    return f"{figure(low, signed=True)} to {figure(high, signed=True)}"


def change(cell: CellResult) -> str:
    """`-4.2 (-6.1 to -2.3)`, in points, for a table."""
    if cell.difference is None:
        return "—"
    middle = figure(cell.difference, signed=True)
    return f"{middle} ({interval(cell)})" if cell.interval else middle


def scores(cell: CellResult) -> str:
    """`54.1 % (58.3 %)`: score and baseline, for a table."""
    if cell.score is None and cell.baseline_score is None:
        return "—"
    return f"{percent(cell.score)} ({percent(cell.baseline_score)})"


def score_sentence(cell: CellResult) -> str:
    """Score, baseline, difference and interval in one sentence."""
    sentence = percent(cell.score)
    if cell.baseline_score is not None:
        sentence += f" against {percent(cell.baseline_score)} in the baseline"
    if cell.difference is not None:
        sentence += f": {points(cell.difference, signed=True)}"
    return sentence + (f", 95 % interval {interval(cell)}" if cell.interval else "")


def used(cell: CellResult) -> str:
    """`1,188 of 4,158`, or a dash where no budget was set."""
    return f"{cell.samples_used:,} of {cell.samples_budget:,}" if cell.samples_budget else "—"


def saved(cell: CellResult) -> str:
    """`67 % saved` by stopping early; empty where nothing was decided, so that a crash saves nothing."""
    if cell.verdict not in (Verdict.PASS, Verdict.REGRESSION) or not cell.samples_budget:
        return ""
    part = 1 - cell.samples_generated / cell.samples_budget
    return f"{part:.0%} saved".replace("%", " %") if part >= 0.005 else ""  # noqa: PLR2004 - half a percent


def samples(cell: CellResult) -> str:
    """`1,188 of 4,158, 67 % saved`, for a table."""
    return ", ".join(part for part in (used(cell), saved(cell)) if part)


def cost(cell: CellResult) -> str:
    """Samples, GPU minutes and time of one cell."""
    of_budget = f"{used(cell)} samples used"
    parts = [of_budget if cell.samples_budget else f"{count(cell.samples_used, 'sample')} used"]
    if cell.samples_generated > cell.samples_used:
        decided = cell.verdict in (Verdict.PASS, Verdict.REGRESSION)
        why = " (the rest was under way when it stopped)" if decided else ""
        parts.append(f"{cell.samples_generated:,} generated{why}")
    parts += [saved(cell)] if saved(cell) else []
    parts += [f"{cell.gpu_minutes:.1f} GPU minutes"] if cell.gpu_minutes else []
    return ", ".join([*parts, duration(cell.seconds)])


def cost_of_run(report: GateReport) -> str:
    """Samples, GPU minutes and time of all cells together."""
    cells = report.cells
    generated, budget = (
        sum(getattr(cell, name) for cell in cells) for name in ("samples_generated", "samples_budget")
    )
    if not budget:
        return "No samples were asked for."
    gpu = sum(cell.gpu_minutes for cell in cells)
    parts = [f"{count(generated, 'sample')} generated of a budget of {budget:,}"]
    parts += [f"{gpu:.1f} GPU minutes"] if gpu else []
    return f"Cost: {', '.join([*parts, duration(sum(cell.seconds for cell in cells))])}."


def certainty(p: float) -> str:
    """What a sequential p says; it holds at whatever look the measurement stopped."""
    stated = "p ≤ 1e-12" if p <= _SMALLEST_P else f"p = {p:.2g}"
    if p > _UNREMARKABLE:
        return f"no sign of a drop ({stated})"
    runs = int(float(f"{1 / p:.2g}"))
    often = "fewer than one run in a million" if runs > 10**6 else f"about one run in {runs:,}"
    return f"{stated}: if nothing had changed, {often} would look this bad, however often one looks"


def against_anchor(cell: CellResult) -> str:
    """The look against the pinned runs, in one line; empty where nothing is pinned."""
    look = cell.anchor
    if look is None:
        return ""
    said = "a drop is proven" if look.dropped else "no drop is proven"
    runs = "run" if len(look.runs) == 1 else "runs"
    return (
        f"{points(look.difference, signed=True)} against the anchor ({runs} {', '.join(look.runs)}): "
        f"{said} (p = {look.p_value:.2g}, needed: {look.alpha:.2g})"
    )


def measured_false_alarms(cell: CellResult) -> str:
    """What `gate calibrate` found, in one line; empty where nobody ran it."""
    found = cell.false_alarms
    if found is None:
        return ""
    tolerated = f" with {points(cell.tolerated_loss)} tolerated" if cell.tolerated_loss else ""
    return (
        f"{percent(found.measured, 2)} over {found.runs} runs of one build, expected "
        f"{percent(found.expected, 2)}{tolerated} ({percent(found.untreated, 2)} without), "
        f"nominal {percent(found.nominal, 2)}"
    )


def numerics(cell: CellResult) -> str:
    """What the numerics probe says; empty where the cell has none."""
    return "" if cell.numerics is None else outcome_line(cell.verdict, cell.numerics)


def could_see(cell: CellResult) -> str:
    """The drop that would be caught nine times in ten; empty where it is not known."""
    if cell.detectable_drop is None:
        return ""
    return f"a drop of {points(cell.detectable_drop)} would have been caught nine times in ten"


def old_rule(cell: CellResult) -> str:
    """What `score >= threshold - tolerance` would have said; empty where the config has no threshold."""
    if cell.threshold is None or cell.old_rule_passes is None:
        return ""
    opinion = "would have passed" if cell.old_rule_passes else "would have failed"
    return f"{opinion} this cell (it asks for a score of at least {cell.threshold:g}, less its tolerance)"


def looks_title(cell: CellResult) -> str:
    """`The 8 looks`."""
    return "The only look" if len(cell.looks) == 1 else f"The {len(cell.looks)} looks"


def folded_title(cells: Sequence[CellResult], *, among: int) -> str:
    """`Details of the 2 other cells (1 inconclusive, 1 pass)`."""
    other = "other " if len(cells) < among else ""
    noun = f"{other}cell" if len(cells) == 1 else f"{len(cells):,} {other}cells"
    return f"Details of the {noun} ({counted(cells)})"


def attestation(context: Context) -> str:
    """Who vouches for the numbers."""
    if context.attested:
        return "attested: the pinned gate measured, outside of the engine's reach"
    return "measured by the job of a merged commit" if context.merged else "not attested"


def left_out(cells: Sequence[CellResult], listed: Sequence[CellResult]) -> str:
    """`4,990 pass, 3 inconclusive`: the cells that are not listed; empty when all are."""
    shown = {id(cell) for cell in listed}
    return counted(cell for cell in cells if id(cell) not in shown)


def false_alarms(report: GateReport) -> str:
    """How often a run fails although nothing changed."""
    shared = f", shared by {report.family_size:,} cells" if report.family_size > 1 else ""
    return f"false alarms: at most {figure(report.alpha)} % of runs in which nothing changed{shared}"


def fails_on(report: GateReport) -> str:
    """Which verdicts fail the run, and whether this one does."""
    listed = ", ".join(face(verdict).word for verdict in report.fail_on) or "nothing"
    return f"fails on: {listed}; exit {report.exit_code}"


def reason(cell: CellResult) -> str:
    """The reason as a sentence."""
    text = cell.reason.strip()
    first = text.partition(" ")[0]
    text = text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text
    return text if not text or text[-1] in ".!?" else f"{text}."


def was_run(cell: CellResult) -> bool:
    """Whether the engine was started for this cell."""
    return bool(cell.seconds or cell.samples_generated or cell.evidence.facts)


def margin_sign(cell: CellResult) -> str:
    """The heading of the pass statistic: `Sign that fewer than 3 points were lost`."""
    lost = "less than the margin was" if cell.margin is None else f"fewer than {points(cell.margin)} were"
    return f"Sign that {lost} lost"


def ran(cell: CellResult) -> tuple[tuple[str, str], ...]:
    """What the engine reported, the kernels first: (fact, value)."""
    facts = cell.evidence.facts
    known = [name for name in FACT_ORDER if name in facts]
    return tuple((name, facts[name]) for name in [*known, *sorted(set(facts) - set(known))])


def kernels(cell: CellResult) -> tuple[tuple[str, str], ...]:
    """The two facts that tell backends apart, for a table: the experts and what they multiply with."""
    return tuple((name, value) for name, value in ran(cell) if name in ("moe", "activation"))


def duration(seconds: float) -> str:
    """`48 s`, `4 min 5 s` or `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def reproduce(cell: CellResult, context: Context | None = None) -> str:
    """The command that measures this cell on one's own machine; of a known commit with the very same samples.

    Names of cells hold no space and no quote; a path that may is quoted.
    """
    place = context.places.get(cell.cell) if context else None
    path = shlex.quote(place.path) if place else f"configs/{cell.cell.config}.yaml"
    words = ["gate run", path, f"--backend {cell.cell.backend}"]
    if context:
        words += [f"--head-sha {context.head_sha}"]
        words += [f"--base-sha {context.base_sha}"] if context.base_sha else []
    return " ".join(words)


def nothing_to_do(report: GateReport, context: Context | None = None) -> str:
    """What to say where no cell asks for anything."""
    if nothing_selected(report, context):
        return "Nothing."
    if not report.cells:
        return "Find out why no cell was run."
    passed = all(cell.verdict is Verdict.PASS for cell in report.cells)
    return "Nothing: every cell passed." if passed else "Nothing: what did not pass was accepted."


def restarted(cell: CellResult) -> str:
    """How often the engine was lost on the way, and what became of the samples; empty where it was not."""
    if not cell.restarts:
        return ""
    times = "once" if len(cell.restarts) == 1 else f"{len(cell.restarts)} times"
    lost = "; ".join(f"after {count(r.samples, 'sample')}: {r.reason}" for r in cell.restarts)
    return f"{times}, and went on with the samples it had ({lost})"


def from_record(cell: CellResult) -> str:
    """When a cell that was taken from its record was measured; empty where it was measured now."""
    if cell.from_record is None:
        return ""
    return (
        f"measured by an earlier run of the same commit ({cell.from_record}), decided again from its counts "
        "now; no engine was started for it; to measure it anew, remove its journal"
    )


def unproven(cell: CellResult) -> str:
    """What this verdict takes on trust; empty where everything is proven."""
    accepted = [check.fact for check in cell.evidence_checks if check.accepted]
    parts = [f"{', '.join(accepted)} (nothing confirms it, and that was accepted)"] if accepted else []
    if cell.declared:
        parts.append(f"{', '.join(cell.declared)} (as declared for a server that somebody else runs)")
    return "; ".join(parts)


def next_step(cell: CellResult) -> str:
    """What to do about this verdict: what `decide` advises, or else what always helps."""
    if cell.next_step:
        return cell.next_step
    collect = f"`gate baseline collect configs/{cell.cell.config}.yaml --backend {cell.cell.backend}`"
    return {
        Verdict.PASS: "Nothing: this cell is fine.",
        Verdict.REGRESSION: f"Reproduce it with `{reproduce(cell)}` and mend the change, "
        "or accept the drop as intended by collecting a new baseline.",
        Verdict.NOT_MEASURED: "Look at the reason and at the engine's log, then run the cell again.",
        Verdict.INCOMPARABLE: f"Undo what differs, or collect a baseline for it with {collect}.",
        Verdict.INCONCLUSIVE: "Judge by hand; more baseline repeats or a larger budget would decide.",
        Verdict.NO_BASELINE: f"Collect one on the accepted build with {collect}, and commit it.",
    }[cell.verdict]


def _ruled_out(cells: Iterable[CellResult]) -> str:
    listed = list(cells)
    where = f"in all {len(listed)} cells" if len(listed) > 1 else "in the only cell"
    margins = {cell.margin for cell in listed}
    margin = margins.pop() if len(margins) == 1 else None
    drop = "a drop as large as its margin" if margin is None else f"a drop of {points(margin)} or more"
    return f"{drop} is ruled out {where}"
