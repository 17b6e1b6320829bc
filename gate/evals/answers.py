"""Reading an answer's letter or number from its text."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

_MARK: Final = r"(?:\*{1,2}|_{1,2})"
_BEGINS: Final = r"(?<![A-Za-z0-9])"
_ENDS: Final = r"(?![A-Za-z0-9])"
_COLON: Final = r"\s*[:\-\u2013]?"
_INT_MAX_DIGITS: Final = 4300
_LONG_SPACE: Final = re.compile(r"\s{64,}")


@lru_cache
def _letter_patterns(letters: str, loose: bool) -> tuple[re.Pattern[str], ...]:
    r"""Patterns in order of priority; group 1 is the letter.

    For ABCD and `loose` these are the patterns of gpt_oss/evals/abcd_grader.py (gpt-oss 0.0.9,
    Apache-2.0, (c) OpenAI): scores compare with published ones only if the same texts read as the same
    letters. Left out are its `\boxed{..\textbf{..` and `\boxed{..\text{..`: wherever they match, the
    plain `\boxed{` before them does.

    Its second and its last also take the first letter of a word ("Answer: depends" is D, "Because" is
    B, "Answer: E" is A); not `loose`, the letter must stand alone.
    """
    one = f"([{letters}])"
    # Possessive, where upstream backtracks through every letter: 2,000 unclosed braces took 15 s.
    inside = rf"[^}}{letters}]*+{one}[^}}]*+\}}"
    alone = "" if loose else _ENDS
    rest = r"[\.\)\-\u2013:]?\s*.*$" if loose else r"(?:[\.\)\-\u2013:].*)?$"
    either_case, lines = re.IGNORECASE, re.MULTILINE
    return (
        re.compile(rf"{_MARK}Answers?{_COLON}{_MARK}\s*{one}\b", either_case),
        re.compile(
            rf"^\s*{_MARK}?Answer:?{_MARK}?\s*:?\s*{_MARK}?{one}{alone}{_MARK}?\s*",
            either_case | lines,
        ),
        re.compile(rf"\bAnswers?\b{_COLON}\s*\(\s*{one}\s*\)", either_case),
        re.compile(rf"\bAnswers?\b{_COLON}\s*{one}\b", either_case),
        re.compile(rf"\b(?:Option|Choice)\b{_COLON}\s*{one}\b", either_case),
        re.compile(rf"\\boxed\{{{inside}"),
        re.compile(rf"{_BEGINS}[\(\[]\s*{one}\s*[\)\]]{_ENDS}"),
        re.compile(rf"{_BEGINS}{_MARK}{one}{_MARK}{_ENDS}"),
        re.compile(rf"\\textbf\{{{inside}"),
        re.compile(rf"{_BEGINS}{_MARK}\s*{one}\)[^*_\n]+?{_MARK}{_ENDS}"),
        re.compile(rf"^\s*{_MARK}?{one}{alone}{_MARK}?\s*{rest}", lines),
    )


def read_letter(text: str, letters: str = "ABCD") -> str | None:
    """The option that `text` settles on, in upper case, or None where no pattern finds one."""
    return _first_match(text, _letter_patterns(letters, loose=False))


def read_letter_gpt_oss(text: str) -> str:
    """The letter as gpt_oss.evals 0.0.9 extracts it: without a match, the text's first character."""
    return _first_match(text, _letter_patterns("ABCD", loose=True)) or text.removeprefix("**")[:1]


def _first_match(text: str, patterns: tuple[re.Pattern[str], ...]) -> str | None:
    # A broken kernel can answer 100,000 line feeds, which would take `^\s*` the square of that. How
    # long a run of spaces is makes no difference to any pattern, only whether a line ends in it.
    text = _LONG_SPACE.sub(lambda run: "\n" if "\n" in run[0] else " ", text)
    for pattern in patterns:
        if found := pattern.search(text):
            return found[1].upper()
    return None


def last_integer(text: str) -> int | None:
    """The last run of digits, commas dropped, as vLLM's tests/evals/gsm8k/gsm8k_eval.py reads it.

    It reads the digits as a Python literal, so that `007`, digits of other scripts and numbers of more
    than 4,300 digits are no answer.
    """
    runs = re.findall(r"\d+", text.replace(",", ""))
    if not runs or not runs[-1].isascii() or len(runs[-1]) > _INT_MAX_DIGITS:
        return None
    value = int(runs[-1])
    return None if value and runs[-1].startswith("0") else value


def last_number(text: str) -> Decimal | None:
    """The last number with its sign and decimals: `-1,234.50` is -1234.5."""
    numbers = re.findall(r"(?<![\w.])-?(?:\d[\d,]*)(?:\.\d+)?|(?<=\D)\.\d+", text, re.ASCII)
    return Decimal(numbers[-1].replace(",", "")) if numbers else None
