"""`gate report`: a page from a report.json, or a line that says what is wrong with it."""

from pathlib import Path

import pytest

from gate.cli import main
from gate.report.schema import report_json
from tests.support import reports


def run(*arguments: object) -> object:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    return end.value.code


def test_a_report_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = tmp_path / "report.json"
    source.write_text(report_json(reports.report_of(reports.regressed())))
    assert run("report", source, "--html", tmp_path / "page.html") == 0
    assert "a drop is proven" in (tmp_path / "page.html").read_text()
    assert capsys.readouterr().out.strip() == str(tmp_path / "page.html")


@pytest.mark.parametrize("content", ["", "{", "{}", '{"schema": "vllm-eval-gate/report/9"}'])
def test_what_is_no_report_is_refused_by_name(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = tmp_path / "report.json"
    source.write_text(content)
    assert run("report", source, "--html", tmp_path / "page.html") == 2
    assert str(source) in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = tmp_path / "report.json"
    source.write_text(report_json(reports.report_of(reports.passed())))
    assert run("report", source, "--html", source / "page.html") == 2
    assert "page.html" in capsys.readouterr().err
