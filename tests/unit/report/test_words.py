"""Figures in words."""

import pytest

from gate.model.calibration import FalseAlarms
from gate.model.record import Restart
from gate.model.result import AnchorLook, Verdict
from gate.report import words
from tests.support import reports

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.03, "3 points"),
        (0.01, "1 point"),
        (-0.01, f"{MINUS}1 point"),
        (0.0425, "4.2 points"),
        (-0.0001, "0 points"),
    ],
)
def test_a_fraction_is_told_in_points(fraction, text):
    assert words.points(fraction) == text


def test_a_signed_figure_shows_plus_and_a_real_minus():
    assert [words.figure(x, signed=True) for x in (0.005, -0.042, 0.0)] == ["+0.5", f"{MINUS}4.2", "0"]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.42, "no sign of a drop (p = 0.42)"),
        (0.00041, "p = 0.00041: if nothing had changed, about one run in 2,400"),
        (1e-9, "p = 1e-09: if nothing had changed, fewer than one run in a million"),
        (1e-12, "p ≤ 1e-12: if nothing had changed, fewer than one run in a million"),
    ],
)
def test_p_is_told_as_how_often_it_would_happen(p, text):
    assert words.certainty(p).startswith(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (655, "10 min 55 s"), (7420, "2 h 3 min")]
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_only_a_decided_cell_saves_anything():
    assert words.saved(reports.regressed()) == "67 % saved"
    assert words.saved(reports.crashed()) == ""
    assert words.saved(reports.inconclusive()) == ""


def test_generated_samples_count_as_spent():
    cell = reports.passed().model_copy(update={"samples_generated": reports.BUDGET})
    assert words.saved(cell) == ""


def test_the_old_rule_is_silent_without_a_threshold():
    assert words.old_rule(reports.passed().model_copy(update={"threshold": None})) == ""
    assert words.old_rule(reports.regressed()).startswith("would have passed this cell")
    failed = reports.regressed().model_copy(update={"old_rule_passes": False})
    assert words.old_rule(failed).startswith("would have failed")


def test_a_pass_says_which_drop_is_ruled_out():
    one = reports.report_of(reports.passed())
    assert words.headline(one) == "Pass: a drop of 3 points or more is ruled out in the only cell"
    wider = reports.passed(backend="b").model_copy(update={"margin": 0.05})
    assert "a drop as large as its margin is ruled out in all 2 cells" in words.headline(
        reports.report_of(reports.passed(), wider)
    )


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_headline_a_face_of_its_own_and_advice(verdict):
    cell = reports.passed().model_copy(update={"verdict": verdict, "next_step": ""})
    assert words.headline(reports.report_of(cell))
    assert words.next_step(cell)
    others = [words.face(other) for other in Verdict if other is not verdict]
    assert words.face(verdict).icon not in {other.icon for other in others}
    assert words.face(verdict).word not in {other.word for other in others}
    assert ("green" in words.face(verdict).style) == (verdict is Verdict.PASS)


def test_missing_figures_leave_dashes_and_nothing_else():
    bare = reports.no_baseline()
    assert (words.scores(bare), words.change(bare), words.samples(bare)) == ("—", "—", "—")
    assert words.could_see(bare) == ""
    scored = bare.model_copy(update={"score": 0.58, "difference": None})
    assert words.scores(scored) == "58.0 % (—)"
    assert words.score_sentence(scored) == "58.0 %"


def test_a_difference_without_an_interval_stands_alone():
    cell = reports.passed().model_copy(update={"interval": None})
    assert words.change(cell) == f"{MINUS}0.3"
    assert words.interval(cell) == "not known"
    assert words.score_sentence(cell).endswith(f"{MINUS}0.3 points")


def test_a_look_without_a_pass_test_says_so():
    assert words.held_against(None, 2.5) == "no test"
    assert words.held_against(2.5, 2.5) == "2.50 / 2.50, reached"
    assert words.held_against(-0.5, 2.5) == f"{MINUS}0.50 / 2.50"


def test_the_look_against_the_anchor_takes_one_line():
    look = AnchorLook(runs=("0123456789ab",), repeats=32, difference=-0.021, p_value=0.0004, alpha=0.002)
    cell = reports.passed().model_copy(update={"anchor": look})
    assert words.against_anchor(cell) == (
        f"{MINUS}2.1 points against the anchor (run 0123456789ab): a drop is proven "
        "(p = 0.0004, needed: 0.002)"
    )
    calm = look.model_copy(update={"p_value": 0.3, "runs": ("0123456789ab", "ba9876543210")})
    assert "(runs 0123456789ab, ba9876543210): no drop is proven (p = 0.3" in words.against_anchor(
        cell.model_copy(update={"anchor": calm})
    )
    assert words.against_anchor(reports.passed()) == ""


def test_the_measured_false_alarm_rate_takes_one_line():
    found = FalseAlarms(nominal=0.01, untreated=0.0225, expected=0.00998, measured=0.0175, runs=6)
    cell = reports.passed().model_copy(update={"false_alarms": found, "tolerated_loss": 0.0032})
    assert words.measured_false_alarms(cell) == (
        "1.75 % over 6 runs of one build, expected 1.00 % with 0.3 points tolerated (2.25 % without), "
        "nominal 1.00 %"
    )
    assert words.measured_false_alarms(reports.passed()) == ""


def test_a_reason_ends_as_a_sentence():
    assert words.reason(reports.passed()) == "A drop of 3 points or more is ruled out (95 %)."
    assert words.reason(reports.crashed()).endswith("error.")
    named = reports.crashed().model_copy(update={"reason": "kv_cache_dtype is auto"})
    assert words.reason(named) == "kv_cache_dtype is auto."


def test_a_margin_that_is_not_known_is_called_the_margin():
    assert words.margin_sign(reports.no_baseline()) == "Sign that less than the margin was lost"


def test_what_fails_the_run_is_listed():
    assert words.fails_on(reports.report_of(reports.passed(), fail_on=())) == "fails on: nothing; exit 0"


def test_a_run_that_asked_nothing_cost_nothing():
    assert words.cost_of_run(reports.report_of(reports.no_baseline())) == "No samples were asked for."
    on_cpu = reports.passed().model_copy(update={"gpu_minutes": 0.0})
    assert "GPU" not in words.cost_of_run(reports.report_of(on_cpu))


def test_one_sample_is_told_in_the_singular():
    one = reports.passed().model_copy(update={"samples_used": 1, "samples_generated": 1, "samples_budget": 0})
    assert words.cost(one).startswith("1 sample used, ")
    single = one.model_copy(update={"samples_budget": 1})
    assert words.cost_of_run(reports.report_of(single)).startswith("Cost: 1 sample generated of ")
    restarted = one.model_copy(update={"restarts": (Restart(samples=1, reason="it died", seconds=2),)})
    assert "after 1 sample: it died" in words.restarted(restarted)


def test_a_headline_about_every_cell_says_all():
    every = reports.report_of(reports.crashed(), reports.crashed(backend="triton"))
    assert words.headline(every).startswith("Not measured: all 2 cells could not be measured")
