"""The reference pages, written from the code: the command line, a config's keys, the action, errors.

They cannot be out of date, because nobody writes them; what has no words in the code stops the build.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from messages import page as errors
from typer.main import get_command

from gate.cli import app
from gate.config import json_schema
from gate.model.result import GateReport

ROOT = Path(__file__).resolve().parents[1]
HEADING = "<!-- Written by docs/reference.py; not edited by hand. -->\n\n"


def write_reference(folder: Path) -> None:
    """Write every page below `folder`.

    Raises:
        ValueError: a command, an option, an input or an output says nothing about itself.
    """
    folder.mkdir(exist_ok=True)
    pages = {
        "cli.md": cli(),
        "config.md": config(),
        "action.md": action(),
        "report.md": report(),
        "errors.md": errors(),
    }
    for name, text in pages.items():
        (folder / name).write_text(HEADING + text, encoding="utf-8")


def cli() -> str:
    """Every command with its arguments and options."""
    return "# Command line\n\n" + "\n".join(_command(get_command(app), ("gate",)))


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:  # noqa: ANN401 - typer's own click
    name = " ".join(path)
    subcommands: Mapping[str, Any] = getattr(command, "commands", {})
    if path != ("gate",):
        yield f"{'#' * min(len(path), 3)} `{name}`\n"
    yield _said(command.help, name) + "\n"
    if not subcommands:
        yield "| | | default |\n| --- | --- | --- |"
        for parameter in command.params:
            yield _parameter(parameter, name)
        yield ""
    for word, subcommand in subcommands.items():
        yield from _command(subcommand, (*path, word))


def _parameter(parameter: Any, command: str) -> str:  # noqa: ANN401 - typer's own click
    option = parameter.param_type_name == "option"
    name = (
        ", ".join(f"`{word}`" for word in parameter.opts)
        if option
        else f"`{parameter.metavar or parameter.name}`"
    )
    default = (
        "" if parameter.default in (None, False, ()) or callable(parameter.default) else parameter.default
    )
    if parameter.required:
        default = "required"
    shown = f"`{default}`" if default not in ("", "required") else default
    return f"| {name} | {_said(parameter.help, f'{command} {name}')} | {shown} |"


def config() -> str:
    """Every key of a config, section by section."""
    schema = json_schema()
    parts = [
        "# Config keys\n",
        "The JSON Schema is printed by `gate config schema`; what the keys mean is in [](../configs.md).\n",
    ]
    sections = {"a config": schema, **schema.get("$defs", {})}
    for name, section in sections.items():
        if "properties" not in section:
            continue
        parts.append(f"## {name}\n")
        parts.append(" ".join(str(section.get("description", "")).split()) + "\n")
        parts.append("| key | type | default |\n| --- | --- | --- |")
        for key, value in section["properties"].items():
            parts.append(f"| `{key}` | {_type(value)} | {_default(key, value, section)} |")
        parts.append("")
    return "\n".join(parts)


def report() -> str:
    """Every field of report.json."""
    schema = GateReport.model_json_schema(by_alias=True, mode="serialization")
    parts = [
        "# report.json\n",
        "Scores, differences and rates are fractions. The JSON Schema is `gate/report/report.schema.json`.\n",
    ]
    for name, section in {"the report": schema, **schema["$defs"]}.items():
        if "properties" not in section:
            continue
        parts += [f"## {name}\n", " ".join(str(section.get("description", "")).split()) + "\n"]
        parts.append("| field | type |\n| --- | --- |")
        parts += [f"| `{key}` | {_type(value)} |" for key, value in section["properties"].items()]
        parts.append("")
    return "\n".join(parts)


def action() -> str:
    """Inputs and outputs of action.yml."""
    definition = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    parts = ["# Action inputs and outputs\n", "## Inputs\n", "| input | | default |\n| --- | --- | --- |"]
    for name, value in definition["inputs"].items():
        default = (
            "required" if value.get("required") else f"`{value['default']}`" if value.get("default") else ""
        )
        parts.append(f"| `{name}` | {_said(value.get('description'), name)} | {default} |")
    parts += ["\n## Outputs\n", "| output | |\n| --- | --- |"]
    parts += [
        f"| `{name}` | {_said(value.get('description'), name)} |"
        for name, value in definition["outputs"].items()
    ]
    return "\n".join(parts) + "\n"


def _default(key: str, value: Mapping[str, Any], section: Mapping[str, Any]) -> str:
    if "default" in value:
        return f"`{json.dumps(value['default'])}`"
    return "required" if key in section.get("required", ()) else ""


def _type(value: Mapping[str, Any]) -> str:
    """A JSON Schema's type in a few words."""
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    if "enum" in value or "const" in value:
        return ", ".join(f"`{word}`" for word in value.get("enum", [value.get("const")]))
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(choice) for choice in value["anyOf"]))
    kind = value.get("type", "anything")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    items = value.get("items")
    return f"{kind} of {_type(items)}" if isinstance(items, Mapping) and items else str(kind)


def _said(text: str | None, where: str) -> str:
    if not text or not text.strip():
        raise ValueError(f"{where} says nothing about itself")
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
