"""report.json: its text and its published JSON Schema (`report.schema.json` beside this module)."""

from __future__ import annotations

import json

from gate.model.result import REPORT_SCHEMA, GateReport

FILE_NAME = "report.schema.json"


def report_json(report: GateReport) -> str:
    """The text of report.json: one field a line, ASCII only, ending in a newline."""
    return json.dumps(report.model_dump(mode="json", by_alias=True), indent=2, allow_nan=False) + "\n"


def schema_text() -> str:
    """The text of report.schema.json: JSON Schema 2020-12, made from the models."""
    schema = GateReport.model_json_schema(by_alias=True, mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{REPORT_SCHEMA.replace('/', ':')}",
    }
    return json.dumps({**head, **schema}, indent=2, sort_keys=True) + "\n"
