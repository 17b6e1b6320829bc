"""Schemas of OpenAPI 3.0 as JSON Schema, and the smallest object that satisfies one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Schema = dict[str, Any]

BRANCHES: Final = ("allOf", "anyOf", "oneOf")
KEPT: Final = (
    *("enum", "items", "maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"),
    *("pattern", "minimum", "maximum", "required", "not", "uniqueItems", "const"),
)
PREFIX: Final = "#/components/schemas/"


class Schemas:
    """The components of a description."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def standalone(self, schema: Schema, *, closed: bool) -> Schema:
        """JSON Schema 2020-12 of `schema`, with everything it refers to in $defs.

        `closed`: a key that GitHub does not describe is wrong. GitHub itself ignores it, which is how a
        misspelt key goes unnoticed for years.
        """
        wanted: set[str] = set()
        root = self._convert(schema, wanted, closed=closed)
        done: dict[str, Schema] = {}
        while todo := wanted - done.keys():
            for name in todo:
                done[name] = self._convert(self._components[name], wanted, closed=closed)
        return root | {"$defs": done}

    def fill(self, schema: Schema, known: Any) -> Any:
        """`known` with whatever else the schema requires, from the examples in GitHub's description."""
        schema = self._resolve(schema)
        if known is None and schema.get("nullable"):
            return None
        if isinstance(known, list):
            return [self.fill(schema.get("items", {}), item) for item in known]
        if known is not None and not isinstance(known, dict):
            return known
        parts = [self._resolve(part) for part in schema.get("allOf", ())]
        parts += [self._choose(schema[word], known) for word in ("anyOf", "oneOf") if word in schema]
        properties = {k: v for part in (*parts, schema) for k, v in part.get("properties", {}).items()}
        required = {name for part in (*parts, schema) for name in part.get("required", ())}
        if known is None and not properties:
            return self._filler(next((p for p in parts if "type" in p), schema))
        filled = dict(known or {})
        for name in sorted(required | filled.keys()):
            if name in properties:
                filled[name] = self._field(properties[name], filled, name)
        return filled

    def _choose(self, branches: list[Schema], known: Any) -> Schema:
        """The first alternative that what is known fits into."""
        resolved = [self._resolve(branch) for branch in branches]

        def fits(branch: Schema) -> bool:
            properties = branch.get("properties", {})
            return known.keys() <= properties.keys() and all(
                known[name] in part["enum"]
                for name, part in properties.items()
                if name in known and "enum" in part
            )

        return next((b for b in resolved if fits(b)), resolved[0]) if isinstance(known, dict) else resolved[0]

    def _field(self, schema: Schema, filled: Mapping[str, Any], name: str) -> Any:
        if name in filled:
            return self.fill(schema, filled[name]) if filled[name] is not None else None
        return None if self._resolve(schema).get("nullable") else self.fill(schema, None)

    def _filler(self, schema: Schema) -> Any:
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") not in ("object", "array") and "example" in schema:
            return schema["example"]
        by_format = {"uri": "https://github.invalid/", "date-time": "2026-01-01T00:00:00Z"}
        by_type = {"integer": 1, "number": 1, "boolean": False, "array": [], "object": {}, "string": ""}
        return by_format.get(schema.get("format", ""), by_type.get(schema.get("type", "string")))

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._components[schema["$ref"].removeprefix(PREFIX)]
        return schema

    def _convert(self, schema: Schema, wanted: set[str], *, closed: bool) -> Schema:
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(PREFIX)
            wanted.add(name)
            return {"$ref": f"#/$defs/{name}"}
        done: Schema = {key: schema[key] for key in KEPT if key in schema}
        if "type" in schema:
            done["type"] = [schema["type"], "null"] if schema.get("nullable") else schema["type"]
        if schema.get("nullable") and None not in done.get("enum", [None]):
            done["enum"] = [*done["enum"], None]
        for word in ("items", "not"):
            if word in schema:
                done[word] = self._convert(schema[word], wanted, closed=closed and word == "items")
        if "properties" in schema:
            done["properties"] = {
                name: self._convert(part, wanted, closed=closed)
                for name, part in schema["properties"].items()
            }
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            done["additionalProperties"] = self._convert(extra, wanted, closed=closed)
        elif extra is False or (closed and extra is None and "properties" in schema):
            done["additionalProperties"] = False
            done["properties"] = self._names_in_branches(schema) | done.get("properties", {})
        for word in BRANCHES:
            if word in schema:
                # A branch of an object that is described around it says which fields go together, no more.
                inner = closed and "properties" not in schema and word != "allOf"
                done[word] = [self._convert(part, wanted, closed=inner) for part in schema[word]]
        if schema.get("nullable") and "type" not in schema and any(word in done for word in BRANCHES):
            return {"anyOf": [done, {"type": "null"}]}
        return done

    def _names_in_branches(self, schema: Schema) -> Schema:
        parts = [self._resolve(part) for word in BRANCHES for part in schema.get(word, ())]
        return {name: {} for part in parts for name in part.get("properties", {})}
