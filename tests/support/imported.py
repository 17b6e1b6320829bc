"""The logs in tests/data/importers, and a config for each harness that wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.project import ROOT

DATA = ROOT / "tests/data/importers"
QUESTIONS = DATA / "questions.csv"
CELL = "sm90/toy/default"

HARNESSES: dict[str, dict[str, Any]] = {
    "lm-eval": {"benchmark": "toy_gpqa", "metric": "exact_match,flexible-extract"},
    "inspect": {"benchmark": "toy_gpqa"},
    "gpt-oss": {"benchmark": "gpqa", "repeats": 8, "version": "0.0.9"},
    "evalscope": {"benchmark": "gpqa_diamond"},
}
"""What a config has to declare of each one's logs."""


def config_of(harness: str, **changes: Any) -> dict[str, Any]:
    """The config of a harness's runs; `changes` are keys of `imported:` (None takes one away)."""
    imported = {
        "repeats": 4,
        "guessing": 0.25,
        "conversation_date": "none",
    } | HARNESSES[harness]
    imported = {key: value for key, value in (imported | changes).items() if value is not None}
    endpoint = "responses" if harness == "gpt-oss" else "chat"
    max_tokens = 131072 if harness == "gpt-oss" else 512
    return {
        "model_name": "stub/model",
        "reasoning_effort": "low" if harness == "gpt-oss" else None,
        "task": {"name": "imported", "protocol": harness, "endpoint": endpoint, "imported": imported},
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_tokens": max_tokens},
        "gate": {"margin": 0.25},
        "accept_unproven": ["fallbacks"],
    }


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    """The config as `toy.yaml`."""
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
