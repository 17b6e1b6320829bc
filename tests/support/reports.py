"""Reports as they would come out of real runs: one cell of each verdict, and runs of any size.

Figures are those of GPQA diamond (198 questions, 32 baseline repeats, margin 3 points, budget 21 repeats).
"""

from gate.model.cell import Cell
from gate.model.changes import Changes, GroupChange, QuestionChange, Shift
from gate.model.evidence import Evidence, EvidenceCheck
from gate.model.probe import Numerics, SinglePrompts
from gate.model.result import CellResult, GateReport, Look, Verdict

CONFIG = "gpt-oss-20b-rocm-mxfp4-fp8"
SHA = "3f9c2b7a1d4e5f60718293a4b5c6d7e8f9012345"
QUESTIONS = 198
BUDGET = 21 * QUESTIONS
SEVERITY = ("regression", "not_measured", "incomparable", "inconclusive", "no_baseline", "pass")

AITER = Evidence(
    facts={
        "moe": "AITER_MXFP4_FP8",
        "scheme": "w_mxfp4_a_fp8",
        "activation": "fp8",
        "attention": "ROCM_AITER_UNIFIED_ATTN",
        "kv_cache_dtype": "fp8",
        "tp": "1",
        "engine_version": "0.32.0",
    },
    source="log",
)


def _with_moe(moe: str, activation: str, fallbacks: tuple[str, ...] = ()) -> Evidence:
    facts = {**AITER.facts, "moe": moe, "activation": activation}
    return AITER.model_copy(update={"facts": facts, "fallbacks": fallbacks})


def _look(passes: float, difference: float, drop: tuple[float, float], no_drop: tuple[float, float]) -> Look:
    """`drop` and `no_drop`: a statistic and the boundary it is held against."""
    return Look(
        samples=round(passes * QUESTIONS),
        repeats=max(1, round(passes)),
        information=round(min(1.0, passes / 10), 3),
        difference=difference,
        z_regression=drop[0],
        boundary_regression=drop[1],
        z_pass=no_drop[0],
        boundary_pass=no_drop[1],
    )


def _checks(evidence: Evidence, **expected: str) -> tuple[EvidenceCheck, ...]:
    return tuple(
        EvidenceCheck(
            fact=fact, expected=value, found=evidence.facts.get(fact), ok=evidence.facts.get(fact) == value
        )
        for fact, value in expected.items()
    )


def _changed(lost: int, gained: int, drop: float, *questions: QuestionChange) -> Changes:
    """Groups of GPQA diamond's sizes, each `drop` below its baseline or a little less."""
    groups = (("Biology", 19, 0.661), ("Chemistry", 93, 0.498), ("Physics", 86, 0.657))
    return Changes(
        lost=lost,
        gained=gained,
        questions=questions,
        groups=tuple(
            GroupChange(name=name, questions=q, before=was, after=was - drop * q / 100, error=0.13 / q**0.5)
            for name, q, was in groups
        ),
        invalid=Shift(before=0.011, after=0.026, p_value=0.0004),
        tokens=Shift(before=1412.6, after=1466.2, p_value=0.00002),
        finish={"stop": Shift(before=0.989, after=0.981), "length": Shift(before=0.011, after=0.019)},
    )


def detailed() -> CellResult:
    """A regression of which everything is known that a report can say."""
    return regressed().model_copy(
        update={
            "looks": tuple(
                _look(
                    passes,
                    -0.042 + 0.02 / (passes + 1) ** 2,
                    (3.62 * (passes / 8) ** 0.45, 4.4 - 1.2 * (passes / 8) ** 0.5),
                    (-1.1 * (passes / 8) ** 0.5, 3.9 - 1.2 * (passes / 8) ** 0.5),
                )
                for passes in (1 / 3, 2 / 3, *range(1, 9))
            ),
            "samples_used": 8 * QUESTIONS,
            "old_rule_minimum": 0.518,
            "numerics": Numerics(
                state="changed",
                times=2.4,
                p_value=0.0003,
                path="decode",
                shift=0.021,
                flips=31,
                positions=1024,
                single=SinglePrompts(
                    path="decode",
                    measure="kl",
                    apart=(*(0.4 + n % 7 / 5 for n in range(29)), 41.3, None, 12.7),
                    needed=5.2,
                ),
            ),
            "changes": _changed(
                9,
                2,
                0.045,
                QuestionChange(question="0a1b2c3d4e5f", before=1.0, after=0.125, broken=True),
                QuestionChange(question="5f4e3d2c1b0a", before=0.75, after=0.25, broken=False),
            ),
            "provenance_differences": {
                "commit": (SHA, "9" * 40),
                "engine_version": ("0.32.1.dev7+g1a2b3c4", "0.32.0"),
                "aiter": ("0.1.9", "0.1.7"),
                "date": ("2026-11-23T20:58:11+00:00", "2026-10-02T04:11:45+00:00"),
            },
            "notes": ("answers changed length by +3.8% (p = 2e-05)",),
        }
    )


def passed(config: str = CONFIG, backend: str = "aiter", arch: str = "gfx950") -> CellResult:
    """No change; a drop of 3 points or more is ruled out after 12 of 21 repeats."""
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.PASS,
        reason="a drop of 3 points or more is ruled out (95 %)",
        score=0.5804,
        baseline_score=0.5831,
        difference=-0.0027,
        interval=(-0.0214, 0.016),
        p_value=0.42,
        margin=0.03,
        detectable_drop=0.031,
        samples_used=12 * QUESTIONS,
        samples_generated=13 * QUESTIONS,
        samples_budget=BUDGET,
        seconds=1284,
        gpu_minutes=21.4,
        invalid_rate=0.0131,
        old_rule_minimum=0.518,
        changes=_changed(3, 4, 0.002),
        looks=(
            _look(1 / 3, -0.011, (0.29, 4.27), (0.51, 3.87)),
            _look(12, -0.0027, (0.31, 2.94), (2.71, 2.33)),
        ),
        threshold=0.568,
        old_rule_passes=True,
        evidence=AITER,
        evidence_checks=_checks(AITER, moe="AITER_MXFP4_FP8", activation="fp8"),
    )


def regressed(config: str = CONFIG, backend: str = "triton", arch: str = "gfx950") -> CellResult:
    """Four points lost, proven after 6 of 21 repeats; the old rule would not have seen it."""
    evidence = _with_moe("TRITON", "bf16", ("moe_activation",))
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.REGRESSION,
        reason="a drop is proven: 4.2 points below the baseline",
        score=0.5413,
        baseline_score=0.5834,
        difference=-0.0421,
        interval=(-0.0688, -0.0154),
        p_value=0.00041,
        margin=0.03,
        detectable_drop=0.037,
        samples_used=6 * QUESTIONS,
        samples_generated=7 * QUESTIONS,
        samples_budget=BUDGET,
        seconds=655,
        gpu_minutes=10.9,
        invalid_rate=0.0261,
        looks=(
            _look(1 / 3, -0.052, (1.32, 4.27), (-0.55, 3.87)),
            _look(2 / 3, -0.047, (1.68, 4.12), (-0.60, 3.70)),
            _look(1, -0.044, (1.92, 4.03), (-0.62, 3.61)),
            _look(3, -0.0405, (2.79, 3.58), (-0.72, 3.10)),
            _look(6, -0.0421, (3.51, 3.30), (-1.01, 2.76)),
        ),
        threshold=0.568,
        old_rule_passes=True,
        evidence=evidence,
        evidence_checks=_checks(evidence, moe="TRITON", activation="bf16"),
        next_step=(
            f"Reproduce it with `gate run configs/{config}.yaml --backend {backend}`; "
            "if the drop is intended, collect a new baseline with "
            f"`gate baseline collect configs/{config}.yaml --backend {backend}`."
        ),
    )


def inconclusive(config: str = CONFIG, backend: str = "emulation", arch: str = "gfx950") -> CellResult:
    """The budget is spent between the two boundaries."""
    evidence = _with_moe("EMULATION", "fp8")
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.INCONCLUSIVE,
        reason=(
            "all 4,158 samples are spent: a drop is not proven, and one of 3 points is not ruled out; "
            "about 7,300 samples would decide"
        ),
        score=0.5642,
        baseline_score=0.5829,
        difference=-0.0187,
        interval=(-0.0365, -0.0009),
        p_value=0.018,
        margin=0.03,
        detectable_drop=0.028,
        samples_used=BUDGET,
        samples_generated=BUDGET,
        samples_budget=BUDGET,
        seconds=7420,
        gpu_minutes=123.7,
        invalid_rate=0.0190,
        looks=(_look(21, -0.0187, (2.31, 2.66), (1.42, 1.97)),),
        threshold=0.568,
        old_rule_passes=True,
        evidence=evidence,
        evidence_checks=_checks(evidence, moe="EMULATION", activation="fp8"),
        next_step="Collect 32 more baseline repeats, or judge by hand.",
    )


def wrong_kernels(config: str = CONFIG, backend: str = "aiter", arch: str = "gfx950") -> CellResult:
    """The engine fell back to emulation without being asked: not measured."""
    evidence = _with_moe("EMULATION", "fp8", ("aiter_disabled",))
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.NOT_MEASURED,
        reason="the engine did not run what the config expects: moe is EMULATION, not AITER_MXFP4_FP8",
        samples_budget=BUDGET,
        seconds=71,
        gpu_minutes=1.2,
        threshold=0.568,
        evidence=evidence,
        evidence_checks=(
            *_checks(evidence, moe="AITER_MXFP4_FP8", activation="fp8"),
            EvidenceCheck(fact="fallback:aiter_disabled", expected="none", found="aiter_disabled", ok=False),
        ),
        next_step="Set VLLM_ROCM_USE_AITER=1 or mend the backend's selection, and run this cell again.",
    )


def crashed(config: str = CONFIG, backend: str = "aiter", arch: str = "gfx950") -> CellResult:
    """The engine died half-way: not measured, although there are samples."""
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.NOT_MEASURED,
        reason="the engine died (exit code -6); its last line: EngineCore encountered a fatal error.",
        samples_used=0,
        samples_generated=731,
        samples_budget=BUDGET,
        seconds=402,
        gpu_minutes=6.7,
        evidence=AITER,
        evidence_checks=_checks(AITER, moe="AITER_MXFP4_FP8"),
    )


def incomparable(config: str = CONFIG, backend: str = "aiter", arch: str = "gfx950") -> CellResult:
    """Asked for longer answers than the baseline was."""
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.INCOMPARABLE,
        reason="2 fields of the fingerprint differ from the baseline's: max_tokens, reasoning_effort",
        samples_budget=BUDGET,
        threshold=0.568,
        fingerprint_differences={"max_tokens": ("8192", "4096"), "reasoning_effort": ("medium", "low")},
    )


def no_baseline(config: str = CONFIG, backend: str = "aiter", arch: str = "gfx950") -> CellResult:
    """Nothing stored; the score alone is shown."""
    return CellResult(
        cell=Cell(arch=arch, config=config, backend=backend),
        verdict=Verdict.NO_BASELINE,
        reason="nothing is stored for this cell",
        threshold=0.568,
    )


def report_of(
    *cells: CellResult,
    fail_on: tuple[Verdict, ...] = (Verdict.REGRESSION, Verdict.NOT_MEASURED, Verdict.INCOMPARABLE),
) -> GateReport:
    """A report of these cells, worst first, with the run's verdict and exit code."""
    ordered = tuple(sorted(cells, key=lambda cell: SEVERITY.index(cell.verdict)))
    exits = {"pass": 0, "regression": 1, "inconclusive": 3, "no_baseline": 3}
    verdict = ordered[0].verdict if ordered else Verdict.NOT_MEASURED
    return GateReport(
        gate_version="0.1.0",
        created="2026-11-23T21:14:05Z",
        commit=SHA,
        verdict=verdict,
        exit_code=exits.get(verdict, 4),
        fail_on=fail_on,
        family_size=max(1, len(cells)),
        alpha=0.01,
        cells=ordered,
    )


def all_six() -> GateReport:
    """One cell of each verdict."""
    return report_of(
        passed(),
        regressed(),
        inconclusive(),
        wrong_kernels("gpt-oss-20b-rocm-baseline"),
        incomparable("gpt-oss-120b-rocm-mxfp4-fp8", "tp1"),
        no_baseline("gpt-oss-120b-rocm-mxfp4-fp8", "tp8"),
    )


def many(total: int, failing: int) -> GateReport:
    """`total` cells of which `failing` fail, in turn for each reason."""
    kinds = (regressed, wrong_kernels, incomparable)
    bad = [kinds[i % 3](f"config-{i:04}", f"backend-{i % 5}") for i in range(failing)]
    good = [passed(f"config-{i:04}", f"backend-{i % 5}") for i in range(failing, total)]
    return report_of(*bad, *good)
