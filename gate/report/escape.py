"""Strings from outside, made harmless for Markdown, for a terminal and for an Actions log.

What an engine, a contributor's record or a checkpoint's name says may hold anything: HTML, images,
@mentions, issue numbers, workflow commands, escape sequences. Entities alone do not stop mentions and
links on GitHub (its filters read the rendered text), hence the zero-width space inside them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from markupsafe import Markup

SAFE: Final = re.compile(r"[A-Za-z0-9_.:+/-]{1,64}")
_COMMAND: Final = re.compile(r"`[A-Za-z0-9][A-Za-z0-9_.:+/@=,<> -]{0,300}`")
_ZERO_WIDTH_SPACE: Final = "\u200b"
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
# An underscore between letters is no emphasis, and names are easier to read in the source without it.
_STRUCTURE: Final = re.compile(r"[\\`*\[\]<&|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# Where GitHub's filters would find a mention, a reference, a link or an emoji in rendered text.
_LIVE: Final = re.compile(
    r"@|#(?=\d)|\bgh-(?=\d)|:(?=//|[\w+-]+:)|/(?=/)|\bwww(?=\.)", flags=re.IGNORECASE | re.ASCII
)
_LINE_START: Final = re.compile(r"^(?:[-+=>#]|\d+[.)](?=\s|$))")


def printable(value: str, limit: int = 500) -> str:
    """One line without control, direction or symbol characters, cut at `limit` characters.

    Symbols go as well: a check mark in an engine's message must not look like one of ours. `##[` would
    be an Actions workflow command wherever it stands in a line.
    """
    line = "".join(_visible(character) for character in value[: 4 * limit])
    line = " ".join(line.split()).replace("##[", "## [")
    return line if len(line) <= limit and len(value) <= 4 * limit else line[: limit - 1] + "…"


def prose(value: str, limit: int = 1000) -> Markup:
    """Text for a Markdown paragraph, list item or table cell; a command in backticks stays code."""
    line = printable(value, limit)
    parts: list[str] = []
    end = 0
    for command in _COMMAND.finditer(line):
        parts += [inert(line[end : command.start()]), command[0]]
        end = command.end()
    text = "".join([*parts, inert(line[end:])])
    return Markup(_LINE_START.sub(_entities, text))  # noqa: S704 - every part is escaped above


def code(value: str, limit: int = 200) -> Markup:
    """A value set as code: as it is where it matches `SAFE`, otherwise cleaned, cut and escaped."""
    if SAFE.fullmatch(value):
        return Markup(f"`{value}`")  # noqa: S704 - letters, digits and _ . : + / - only
    return code_html(value, limit)


def code_html(value: str, limit: int = 200) -> Markup:
    """`code` for places where Markdown is not read, such as a `<summary>`."""
    return Markup(f"<code>{inert(printable(value, limit) or '(empty)')}</code>")  # noqa: S704 - escaped


def inert(line: str) -> Markup:
    """A line whose every character means itself, in Markdown and in HTML text."""
    held = _LIVE.sub(lambda match: match[0] + _ZERO_WIDTH_SPACE, line)
    return Markup(_STRUCTURE.sub(_entities, held))  # noqa: S704 - what this function is for


def _entities(match: re.Match[str]) -> str:
    return "".join(c if c.isdigit() else f"&#{ord(c)};" for c in match[0])


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _INVISIBLE:
        return " "
    return "\N{REPLACEMENT CHARACTER}" if category == "So" else character
