"""An inspect log: an entry larger than a log's."""

from __future__ import annotations

import pytest

from gate.errors import RecordError
from gate.importers import inspect_ai
from gate.importers.log import Wanted
from gate.settings import ChoiceColumns
from tests.support.imported import DATA

WANTED = Wanted("toy_gpqa", None, ChoiceColumns())


def test_an_entry_of_an_archive_has_a_limit(monkeypatch: pytest.MonkeyPatch):
    (path,) = (DATA / "inspect/three").glob("*.eval")
    monkeypatch.setattr(inspect_ai, "ENTRY_LIMIT", 100)
    with pytest.raises(RecordError, match=r"header\.json has more than 100 bytes"):
        inspect_ai.read([path], WANTED)
