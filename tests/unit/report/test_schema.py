"""report.json has a published schema that is made from the models."""

import json
from importlib.resources import files

import jsonschema
import pytest

from gate.model.result import GateReport
from gate.report.schema import FILE_NAME, report_json, schema_text
from tests.support import reports

REMAKE = (
    "remake it: python -c 'from gate.report.schema import schema_text; print(schema_text(), end=\"\")' "
    "> gate/report/report.schema.json"
)


def published() -> str:
    return files("gate.report").joinpath(FILE_NAME).read_text("utf-8")


def test_the_published_schema_is_that_of_the_models():
    assert published() == schema_text(), REMAKE


def test_a_report_is_valid_under_the_published_schema_and_comes_back_equal():
    text = report_json(reports.all_six())
    jsonschema.Draft202012Validator(json.loads(published())).validate(json.loads(text))
    assert json.loads(text)["schema"] == "vllm-eval-gate/report/1"
    assert GateReport.model_validate_json(text) == reports.all_six()


def test_the_published_schema_is_one_itself_and_refuses_what_it_does_not_know():
    schema = json.loads(published())
    jsonschema.Draft202012Validator.check_schema(schema)
    unknown = {**json.loads(report_json(reports.all_six())), "verdict": "fine"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(unknown, schema)
