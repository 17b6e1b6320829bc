"""GitHub's own description of its API: which operation a request is, and whether it would be accepted."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from jsonschema import Draft202012Validator

from tests.support.github_fake.schemas import Schema, Schemas

ROOT: Final = Path(__file__).resolve().parents[3]
FILE: Final = ROOT / "node_modules/@octokit/openapi/generated/api.github.com.json"
# The only parameters whose value may hold slashes.
DEEP: Final = ("path", "ref", "basehead", "branch")


class Match(NamedTuple):
    """The operation of a request, and the values in its path."""

    operation: Operation
    parameters: dict[str, str]


class Operation:
    """One operation; its schemas are converted when they are first used."""

    def __init__(self, method: str, template: str, described: Mapping[str, Any], whole: Description) -> None:
        self.id: str = described["operationId"]
        self.method = method
        self.template = template
        self._described = described
        self._whole = whole
        self._validators: dict[str, Draft202012Validator] = {}

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The path of this operation, with a group for each parameter."""

        def group(match: re.Match[str]) -> str:
            return f"(?P<{match[1]}>{'.+' if match[1] in DEEP else '[^/]+'})"

        literal = re.escape(self.template).replace(r"\{", "{").replace(r"\}", "}")
        return re.compile(re.sub(r"\{(\w+)\}", group, literal))

    def problems_of_request(
        self, path: Mapping[str, str], query: Mapping[str, str], body: object
    ) -> Iterator[str]:
        """Why GitHub would refuse this request, or would not do what was meant."""
        described = {(p["in"], p["name"]): p for p in self._parameters()}
        for place, values in (("path", path), ("query", query)):
            for name, text in values.items():
                if (place, name) not in described:
                    yield f"{place} parameter {name} does not exist"
                    continue
                schema = described[place, name].get("schema", {})
                yield from self._problems(f"{place}.{name}", schema, _coerced(text, schema), closed=True)
        for (place, name), parameter in described.items():
            if place == "query" and parameter.get("required") and name not in query:
                yield f"query parameter {name} is missing"
        content = self._described.get("requestBody", {})
        schema = content.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            if body not in (None, {}):
                yield "there is a body, but this operation takes none"
        elif body is None:
            if content.get("required", True) and schema.get("required"):
                yield "the body is missing"
        else:
            yield from self._problems("body", schema, body, closed=True)

    def problems_of_response(self, status: int, body: object) -> Iterator[str]:
        """Where an answer is not what GitHub says it gives."""
        if str(status) not in self._described["responses"]:
            if status < 400:
                yield f"status {status} is not described"
            return
        schema = self._schema_of(status)
        if schema is None:
            if body is not None:
                yield f"{status} has no content"
        else:
            yield from self._problems(f"response.{status}", schema, body, closed=False)

    def fill(self, status: int, known: Any) -> Any:
        """An answer's body with everything else that GitHub describes as always there."""
        schema = self._schema_of(status)
        return known if schema is None else self._whole.schemas.fill(schema, known)

    def _schema_of(self, status: int) -> Schema | None:
        response = self._whole.resolve(self._described["responses"].get(str(status), {}))
        found: Schema | None = response.get("content", {}).get("application/json", {}).get("schema")
        return found

    def _parameters(self) -> list[dict[str, Any]]:
        return [self._whole.resolve(parameter) for parameter in self._described.get("parameters", ())]

    def _problems(self, name: str, schema: Schema, value: object, *, closed: bool) -> Iterator[str]:
        validator = self._validators.get(name)
        if validator is None:
            standalone = self._whole.schemas.standalone(schema, closed=closed)
            validator = self._validators[name] = Draft202012Validator(standalone)
        for error in itertools.islice(validator.iter_errors(value), 3):
            where = ".".join([name, *map(str, error.absolute_path)])
            yield f"{where}: {error.message[-200:]}"  # what is wrong stands at the end, after the value


class Description:
    """api.github.com.json; reading its 13 MB takes most of a second, once a process."""

    def __init__(self, file: Path = FILE) -> None:
        assert file.is_file(), f"run `make node_modules/.installed` first: {file} is missing"
        self._document: dict[str, Any] = json.loads(file.read_bytes())
        self.schemas = Schemas(self._document["components"]["schemas"])

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """Every operation by its id."""
        return {
            described["operationId"]: Operation(method.upper(), template, described, self)
            for template, methods in self._document["paths"].items()
            for method, described in methods.items()
            if isinstance(described, dict) and "operationId" in described
        }

    def match(self, method: str, path: str, among: Sequence[str] | None = None) -> Match | None:
        """The operation of a path as it was sent; the one with the fewest parameters, as GitHub does."""
        names = self.operations if among is None else among
        found = [
            Match(operation, {k: unquote(v) for k, v in hit.groupdict().items()})
            for operation in (self.operations[name] for name in names)
            if operation.method == method and (hit := operation.pattern.fullmatch(path))
        ]
        return min(found, key=lambda match: len(match.parameters), default=None)

    def resolve(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """What a `$ref` to a parameter or response stands for."""
        while "$ref" in value:
            _, _, kind, name = value["$ref"].split("/")
            value = self._document["components"][kind][name]
        return dict(value)


@cache
def github() -> Description:
    """The one of this process."""
    return Description()


def _coerced(text: str, schema: Schema) -> object:
    kinds = {schema.get("type")} | {part.get("type") for part in schema.get("oneOf", ())}
    if "integer" in kinds and re.fullmatch(r"-?\d+", text):
        return int(text)
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    return text
