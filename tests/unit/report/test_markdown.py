"""report.md: what a reviewer reads, and that nothing in it can be mistaken or abused."""

import re

import pytest
from markdown_it import MarkdownIt

from gate.model.calibration import FalseAlarms
from gate.model.cell import Cell
from gate.model.evidence import Evidence, EvidenceCheck
from gate.model.result import AnchorLook, Verdict
from gate.report.context import Context
from gate.report.markdown import LIMIT, render_markdown
from tests.support import reports

GREEN = "\u2705"
HOSTILE = (
    '</summary></details><img src=x>![i](https://e.example/p) @maintainer #1 | "\n# Pass \u2705 ::error::'
)


@pytest.mark.parametrize(
    "cell",
    [
        reports.passed(),
        reports.regressed(),
        reports.inconclusive(),
        reports.wrong_kernels(),
        reports.crashed(),
        reports.incomparable(),
        reports.no_baseline(),
    ],
    ids=["pass", "regression", "inconclusive", "wrong_kernels", "crashed", "incomparable", "no_baseline"],
)
def test_one_cell_of_each_verdict_reads_well(cell, snapshot):
    assert render_markdown(reports.report_of(cell)) == snapshot


def test_all_six_verdicts_in_one_report_read_well(snapshot):
    assert render_markdown(reports.all_six()) == snapshot


def test_a_cell_says_in_one_line_how_far_it_is_from_the_anchor():
    look = AnchorLook(runs=("0123456789ab",), repeats=32, difference=-0.01, p_value=0.2, alpha=0.002)
    cell = reports.passed().model_copy(update={"anchor": look})
    lines = render_markdown(reports.report_of(cell)).splitlines()
    assert len([line for line in lines if line.startswith("- **Since the anchor:** ")]) == 1


def test_a_calibrated_cell_prints_its_measured_false_alarm_rate():
    found = FalseAlarms(nominal=0.01, untreated=0.02, expected=0.01, measured=0.015, runs=6)
    cell = reports.passed().model_copy(update={"false_alarms": found})
    assert "- **Measured false-alarm rate:** 1.50 %" in render_markdown(reports.report_of(cell))


def test_the_first_line_is_the_verdict_in_words():
    first, _, second = render_markdown(reports.all_six()).splitlines()[:3]
    assert first == "## ❌ Regression: a drop is proven in 1 of 6 cells"
    assert second.startswith("**6 cells:** 1 regression, 1 not measured, 1 incomparable, 1 inconclusive")


def test_there_is_one_row_for_each_cell_and_an_arch_column_only_for_several():
    one = render_markdown(reports.report_of(reports.passed(), reports.regressed()))
    two = render_markdown(reports.report_of(reports.passed(), reports.passed(arch="gfx942")))
    assert len(re.findall(r"^\| [✅❌]", one, flags=re.MULTILINE)) == 2
    assert "| Arch |" not in one
    assert "| Config, backend | Arch |" in two
    assert "| `gfx942` |" in two


@pytest.mark.parametrize(
    "cell",
    [
        reports.regressed(),
        reports.inconclusive(),
        reports.wrong_kernels(),
        reports.incomparable(),
        reports.no_baseline(),
    ],
)
def test_nothing_but_a_pass_has_a_green_mark(cell):
    assert GREEN not in render_markdown(reports.report_of(cell))


def test_a_report_without_cells_is_not_a_pass():
    empty = reports.report_of().model_copy(update={"verdict": Verdict.PASS, "exit_code": 0})
    text = render_markdown(empty)
    assert text.startswith("## ⛔ Not measured: no cell was measured")
    assert GREEN not in text
    assert "Nothing: every cell passed" not in text


def test_a_report_that_calls_itself_better_than_its_worst_cell_is_not_believed():
    lying = reports.report_of(reports.passed(), reports.crashed()).model_copy(
        update={"verdict": Verdict.PASS}
    )
    assert render_markdown(lying).startswith("## ⛔ Not measured: 1 of 2 cells")


def test_failures_are_told_before_the_fold_and_the_rest_within():
    text = render_markdown(reports.all_six())
    fold = text.index("Details of the 3 other cells")
    assert text.index("### ❌ Regression") < text.index("### ⚠️ Incomparable") < fold
    assert fold < text.index("#### ❔ Inconclusive") < text.index("#### ✅ Pass") < text.rindex("</details>")


def test_a_verdict_that_the_policy_makes_fail_is_told_in_full():
    text = render_markdown(reports.report_of(reports.inconclusive(), fail_on=(Verdict.INCONCLUSIVE,)))
    assert "\n### ❔ Inconclusive" in text


def test_a_failure_names_the_command_that_reproduces_it():
    text = render_markdown(reports.report_of(reports.regressed()))
    assert "gate run configs/gpt-oss-20b-rocm-mxfp4-fp8.yaml --backend triton\n```" in text


def test_what_to_do_next_comes_last_and_joins_cells_with_the_same_advice():
    cells = [reports.crashed(backend=f"b{i}") for i in range(7)]
    text = render_markdown(reports.report_of(*cells))
    last = text[text.index("### What to do next") :]
    assert last.count("\n- ") == 1
    assert "and 2 more (not measured): Look at the reason" in last
    assert last.rstrip().endswith("</sub>")
    assert f"Commit `{reports.SHA}`" in last


def test_a_commit_that_is_not_known_says_so():
    text = render_markdown(reports.report_of(reports.passed()).model_copy(update={"commit": None}))
    assert "Commit not known" in text


def test_a_hostile_string_in_every_field_does_nothing():
    cell = reports.regressed().model_copy(
        update={
            "reason": HOSTILE,
            "notes": (HOSTILE,),
            "next_step": HOSTILE,
            "evidence": Evidence(
                facts={"moe": HOSTILE, HOSTILE: HOSTILE}, fallbacks=(HOSTILE,), source="log"
            ),
            "evidence_checks": (EvidenceCheck(fact=HOSTILE, expected=HOSTILE, found=HOSTILE, ok=False),),
            "fingerprint_differences": {HOSTILE: (HOSTILE, HOSTILE)},
        }
    )
    report = reports.report_of(cell).model_copy(
        update={"gate_version": HOSTILE, "created": HOSTILE, "commit": HOSTILE}
    )
    text = render_markdown(report)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<img" not in html
    assert "<a " not in html
    assert "@maintainer" not in html
    assert "https://" not in html
    assert GREEN not in html
    assert html.count("<details>") == html.count("</details>") == 1
    assert html.count("<h2>") == 1
    assert html.count("<tr>") == text.count("\n| ") - text.count("\n| ---")


@pytest.mark.parametrize(
    ("total", "failing"), [(1, 0), (1, 1), (20, 3), (20, 20), (200, 3), (200, 200), (5000, 4), (5000, 5000)]
)
def test_a_report_of_any_size_fits_with_failures_first(total, failing):
    text = render_markdown(reports.many(total, failing))
    assert len(text.encode()) <= LIMIT < 65_536
    in_full = len(re.findall(r"^### [❌⛔⚠]", text, flags=re.MULTILINE))
    assert in_full == failing if failing <= 20 else 20 < in_full < failing
    assert "### What to do next" in text


def test_what_does_not_fit_is_counted_and_linked():
    url = "https://github.com/o/r/actions/runs/7#summary"
    text = render_markdown(reports.many(5000, 4), context=Context(reports.SHA, details_url=url))
    assert "**Not listed one by one, for lack of room:** 4,996 pass." in text
    assert f"[full report]({url})" in text


def test_details_of_what_is_fine_are_the_first_to_go():
    text = render_markdown(reports.many(200, 3))
    assert "Details of the" not in text
    assert len(re.findall(r"^\| ✅", text, flags=re.MULTILINE)) == 197


def test_a_failure_too_large_to_tell_is_still_counted():
    huge = reports.regressed().model_copy(update={"notes": ("x" * 900,) * 100})
    text = render_markdown(reports.report_of(huge, reports.passed()))
    assert text.startswith("## ❌ Regression: a drop is proven in 1 of 2 cells")
    assert "1 regression, 1 pass" in text
    assert len(text.encode()) <= LIMIT


def test_more_advice_than_fits_is_counted():
    text = render_markdown(reports.many(60, 60))
    assert "more like these" in text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://x.example", "https://x.example/) ![i](", ""])
def test_an_address_that_cannot_be_linked_safely_is_refused(url):
    with pytest.raises(ValueError, match="not an https address"):
        render_markdown(reports.all_six(), context=Context(reports.SHA, details_url=url))


def test_a_cell_with_a_long_name_is_still_named():
    long = "c" * 100
    cell = reports.passed().model_copy(update={"cell": Cell(arch="cpu", config=long, backend="b")})
    assert f"<code>{long}</code>" in render_markdown(reports.report_of(cell))
