"""The catalogue of errors is read from the code, whole, and knows which of them no test has provoked."""

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.docs import ROOT

HERE = Path("gate/here.py")
CODE = '''
class GateError(Exception):
    """Anything."""

class UsageError(GateError):
    """Asked for what cannot be."""
    exit_code = Exit.USAGE

class HubError(UsageError):
    """The hub said no."""

class ValueOfOurs(ValueError):
    """Part of a message."""

class _Retry(Exception):
    """Ours alone."""

def f(cell, error, others):
    if cell:
        raise UsageError(f"no {cell.config!r} in {', '.join(others)}", where="x", hint="see " + _KNOWN)
    try:
        g()
    except OSError as problem:
        raise error("is gone", where="x", hint=did_you_mean(cell) or "check it") from problem
    if others:
        raise _Retry("again")
    if not cell:
        raise ValueError("two | rows")
    int(ValueError("not raised"))
    return HubError(
        "refused" if cell else "away",
        hint="use `a|b` *now*",
    )
'''


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("messages")


def test_every_form_of_raising_is_found_with_its_text_and_remedy(messages: ModuleType):
    found = sorted(messages.sites({HERE: ast.parse(CODE)}), key=lambda site: site.line)
    assert [(site.kind, site.says, site.remedy) for site in found] == [
        ("UsageError", "no <config> in <others>", "see <known>"),
        ("GateError", "is gone", "<did you mean> / check it"),
        ("ValueError", "two | rows", ""),
        ("HubError", "refused / away", "use `a|b` *now*"),
    ]
    assert str(found[0]) == "gate/here.py:20: UsageError: no <config> in <others>"


def test_an_error_counts_as_provoked_when_its_own_line_ran(messages: ModuleType):
    every = list(messages.sites({HERE: ast.parse(CODE)}))
    ran = {"gate/here.py": {20, 24, 28, 31}}
    assert [site.kind for site in messages.never_raised(every, ran)] == ["HubError"]
    assert messages.never_raised(every, {"gate/there.py": {21}}) == every


def test_every_error_of_the_code_says_what_happened_and_what_to_do(messages: ModuleType):
    sources = messages.parsed()
    known = messages.kinds(sources)
    assert {"UsageError", "ArtifactError", "HubError", "ServerArgsError"} < set(known)
    every = list(messages.sites(sources))
    assert len(every) > 400
    assert [str(site) for site in every if not site.says] == []
    parts = {messages.PART, *(name for name, kind in known.items() if messages.PART in kind.bases)}
    assert [str(site) for site in every if not site.remedy and site.kind not in parts] == []


def test_the_page_has_a_row_for_every_error_and_keeps_code_as_code(messages: ModuleType):
    text = messages.page()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    heads = text.count("| says | what to do | raised in |")
    assert len(rows) - heads == len(list(messages.sites(messages.parsed())))
    assert "use `a\\|b` \\*now\\*" in "\n".join(messages._table(_hub(messages)))


def _hub(messages: ModuleType):
    return [site for site in messages.sites({HERE: ast.parse(CODE)}) if site.kind == "HubError"]
