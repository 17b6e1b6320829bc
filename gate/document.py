"""A YAML file read as plain values that remember their lines; nothing in it is ever evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from yaml.reader import ReaderError

from gate.errors import ConfigError

KeyPath = tuple[str | int, ...]
Scalar = str | int | float | bool | None
Value = Scalar | tuple["Value", ...] | dict[str, "Value"]

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 40
MAX_NODES: Final = 20_000

_NUMBERS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_SCALARS: Final = _NUMBERS | {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"}
_TEXTS: Final = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"})


class Document(NamedTuple):
    """A mapping read from `source`, with the line of every key path in it."""

    source: str
    values: dict[str, Value]
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath = ()) -> int:
        """The line of the nearest thing that stands in the file at or above `path`."""
        return next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), 1)

    def where(self, path: KeyPath = ()) -> str:
        """`file:line`, as `line`."""
        return f"{self.source}:{self.line(path)}"


def read_text(path: Path) -> str:
    """The text of a config, list or runner file.

    Raises:
        ConfigError: it is missing, too large, or not UTF-8 (with the line of the first bad byte).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror or error}", where=path.as_posix(), hint="Check the path."
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"has {len(data)} bytes; a config has at most {MAX_BYTES}",
            where=path.as_posix(),
            hint="leave in it what the gate reads: `gate config schema` prints it",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"is not UTF-8: byte 0x{data[error.start]:02x}",
            where=f"{path.as_posix()}:{line}",
            hint="Save the file as UTF-8.",
        ) from error


def read_document(path: Path, *, text_under: frozenset[str] = frozenset()) -> Document:
    """The YAML mapping in a file; see `parse_document`."""
    return parse_document(read_text(path), path.as_posix(), text_under=text_under)


def parse_document(text: str, source: str, *, text_under: frozenset[str] = frozenset()) -> Document:
    """Parse YAML text into a mapping with lines.

    Sequences become tuples. Numbers that are values of a mapping named in `text_under` keep the text that
    stands in the file, so that an environment variable written `010` or `1.0` reaches the engine like that.

    Raises:
        ConfigError: broken YAML, an empty file, a key that stands twice, or a tag that would need code.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"is not valid YAML: {error.problem or error.context}",
            where=f"{source}:{mark.line + 1}" if mark else source,
            hint="Check the indentation, quotes and colons around this line.",
        ) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"is not valid YAML: the character U+{error.character:04X} is not allowed",
            where=f"{source}:{line}",
            hint="Remove it; in double quotes it can be written as an escape.",
        ) from error
    except RecursionError as error:
        raise ConfigError(
            "is nested too deeply", where=f"{source}:1", hint="take the innermost brackets or lists apart"
        ) from error
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value == ""):
        raise ConfigError("is empty", where=f"{source}:1", hint="A config needs at least `model_name:`.")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            "is not a mapping of keys to values",
            where=_at(source, root),
            hint="write `key: value` lines, for example `model_name: org/model`",
        )
    reader = _Reader(source, text_under)
    values = reader.mapping(root, ())
    return Document(source, values, reader.lines)


class _Reader:
    """Turns nodes into values; one use, one document."""

    def __init__(self, source: str, text_under: frozenset[str]) -> None:
        self.source = source
        self.text_under = text_under
        self.lines: dict[KeyPath, int] = {}
        self._scalars = yaml.SafeLoader("")
        self._seen = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Value:
        self._seen += 1
        if len(path) > MAX_DEPTH or self._seen > MAX_NODES:  # aliases can make a small file huge, or endless
            raise ConfigError(
                "is nested too deeply or refers to itself",
                where=_at(self.source, node),
                hint="write the values out instead of anchors that hold themselves",
            )
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, "tag:yaml.org,2002:seq")
            for index, item in enumerate(node.value):
                self.lines.setdefault((*path, index), item.start_mark.line + 1)
            return tuple(self.value(item, (*path, index)) for index, item in enumerate(node.value))
        return self._scalar(node, path)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Value]:
        self._refuse_tag(node, "tag:yaml.org,2002:map")
        self.lines.setdefault(path, node.start_mark.line + 1)
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            if key in values:
                first = self.lines[(*path, key)]
                raise ConfigError(
                    f"{_dotted((*path, key))} stands twice: first in line {first}, again in line {line}",
                    where=f"{self.source}:{line}",
                    hint="Keep one of them: YAML would silently use the last.",
                )
            self.lines[(*path, key)] = line
            values[key] = self.value(value_node, (*path, key))
        return values

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS | _TEXTS:
            return str(node.value)
        what = "a merge key (<<)" if node.tag == "tag:yaml.org,2002:merge" else "a key that is not plain text"
        raise ConfigError(
            f"{what} is not supported",
            where=_at(self.source, node),
            hint="Write the keys out as plain words.",
        )

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Scalar:
        if node.tag in _TEXTS:
            return str(node.value)
        if node.tag in _NUMBERS and len(path) > 1 and path[-2] in self.text_under:
            return str(node.value)
        self._refuse_tag(node, *_SCALARS)
        try:
            constructed: Scalar = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError) as error:
            raise ConfigError(
                f"{_dotted(path)}: cannot read {node.value[:40]!r} as {node.tag.rpartition(':')[2]}",
                where=_at(self.source, node),
                hint="Quote it if it is meant as text.",
            ) from error
        return constructed

    def _refuse_tag(self, node: yaml.Node, *allowed: str) -> None:
        if node.tag not in allowed:
            raise ConfigError(
                f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')[:60]!r} is not allowed",
                where=_at(self.source, node),
                hint="Configs hold plain text, numbers, lists and mappings; nothing in them is ever run.",
            )


def _at(source: str, node: yaml.Node) -> str:
    return f"{source}:{node.start_mark.line + 1}"


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)
