"""What the HTML pages share: the template environment, assets set into the page, data packed into it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from gate.report import words
from gate.report.escape import printable

_HERE: Final = Path(__file__).parent
_COMMAND: Final = re.compile(r"`([^`]+)`")


@cache
def environment() -> Environment:
    """Every value that a template prints is escaped; only this project's own files are not."""
    made = Environment(
        loader=PackageLoader("gate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"line": printable, "commands": commands}
    made.globals |= {
        "words": words,
        "asset": lambda name: _own(f"assets/{name}"),
        "vendored": lambda name: _own(f"vendor/{name}"),
    }
    return made


def commands(text: str) -> Markup:
    """One line of text, what stands in backticks set as code."""
    line = str(escape(printable(text, 1000)))
    return Markup(_COMMAND.sub(r"<code>\1</code>", line))  # noqa: S704 - escaped above


def pack(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON, gzip, base64: thousands of sections that are alike take a twentieth of the room."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@cache
def _own(path: str) -> Markup:
    return Markup((_HERE / path).read_text(encoding="utf-8"))  # noqa: S704 - a file of this package
