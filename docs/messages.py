"""Every error that a command can print: found in the code, written as a page, checked to have been provoked.

Nobody keeps a list: an error's text and remedy stand where it is raised (`hint` is no option of `GateError`,
so mypy asks for it), and this reads them from there. `make covered` calls `python docs/messages.py NUMBER`,
which names every error that no test of that run has raised, and fails where they are more than NUMBER.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FAMILY = "GateError"
PART = "ValueError"
"""What validators raise: it becomes the text of a ConfigError or RecordError."""


class Kind(NamedTuple):
    """A class of errors: what it means, and the exit code of a command that ends with it."""

    name: str
    means: str
    bases: tuple[str, ...]
    exit_code: str | None


class Site(NamedTuple):
    """A place that raises: the text and the remedy, with `<name>` where a value will stand."""

    path: Path
    line: int
    kind: str
    says: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.says}"


def kinds(sources: Mapping[Path, ast.Module]) -> dict[str, Kind]:
    """The classes of the family, by name, and ValueError's children of ours."""
    found = {
        node.name: Kind(
            node.name,
            " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split()),
            tuple(ast.unparse(base) for base in node.bases),
            _exit_code(node),
        )
        for tree in sources.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def of(name: str, ancestor: str) -> bool:
        return name == ancestor or (name in found and any(of(base, ancestor) for base in found[name].bases))

    return {name: kind for name, kind in found.items() if of(name, FAMILY) or of(name, PART)}


def _exit_code(node: ast.ClassDef) -> str | None:
    for line in node.body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        value = getattr(line, "value", None)
        if isinstance(target, ast.Name) and target.id == "exit_code" and isinstance(value, ast.Attribute):
            return value.attr
    return None


def parsed(package: Path = ROOT / "gate") -> dict[Path, ast.Module]:
    """Every module of the package; not those that run in the engine's own Python."""
    engines_own = {"gate/embedded", "gate/serving/engine_facts.py"}
    return {
        path.relative_to(package.parent): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
        if not any(path.relative_to(package.parent).as_posix().startswith(own) for own in engines_own)
        or path.name == "install.py"
    }


def sites(sources: Mapping[Path, ast.Module]) -> Iterator[Site]:
    """Every place in the modules that makes an error of the family, or raises a part of one."""
    known = {*kinds(sources), FAMILY, PART}
    for path, tree in sources.items():
        statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        for statement in statements:
            for call in _own_calls(statement):
                name = ast.unparse(call.func)
                keywords = {keyword.arg: keyword.value for keyword in call.keywords}
                # A reader of files is told which class to raise: `error("...", hint=...)`.
                handed_in = isinstance(statement, ast.Raise) and name == "error" and "hint" in keywords
                if (name in known and name != PART) or handed_in or _is_part(statement, name):
                    says = _text(call.args[0]) if call.args else ""
                    remedy = _text(keywords["hint"]) if "hint" in keywords else ""
                    kind = "GateError" if handed_in else name
                    yield Site(path, statement.lineno, kind, says, remedy)


def _is_part(statement: ast.stmt, name: str) -> bool:
    return isinstance(statement, ast.Raise) and name == PART


def _own_calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """The calls of a statement, but not those of the statements inside it."""
    waiting = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _text(node: ast.expr) -> str:
    """A text as it stands in the code: `<name>` for a value, `A / B` for one of two."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            f"<{_name(part.value)}>" if isinstance(part, ast.FormattedValue) else _text(part)
            for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} / {_text(node.orelse)}"
    if isinstance(node, ast.BoolOp):
        return " / ".join(_text(value) for value in node.values)
    return f"<{_name(node)}>"


def _name(node: ast.expr) -> str:
    """What a value is called in the code: the last name of `request.paths`, the function of a call."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").lower().replace("_", " ")
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_").replace("_", " ")
    if isinstance(node, ast.Call):
        joined = isinstance(node.func, ast.Attribute) and node.func.attr == "join" and node.args
        return _name(node.args[0] if joined else node.func)
    if isinstance(node, ast.Subscript | ast.Starred):
        return _name(node.value)
    if isinstance(node, ast.IfExp):
        return _name(node.body)
    return "..."


def page() -> str:
    """Every error by kind: what it says, and what to do; the module in which it is looked for."""
    sources = parsed()
    known, every = kinds(sources), list(sites(sources))
    parts = [
        "# Errors\n",
        "Every error that a command can print, read from the code: what it says, `<name>` for what differs,",
        "and what to do, printed below it. It begins with the file, cell or address that it is about.",
        "What is not an error of these but a bug ends with a traceback and exit 4. A verdict is no error:",
        "[](../how-to/read-a-red-comment.md) is about those.\n",
    ]
    for name in ("UsageError", *sorted({site.kind for site in every} - {"UsageError", FAMILY, PART}), FAMILY):
        of_kind = [site for site in every if site.kind == name]
        if of_kind:
            parts += [f"## {name}\n", f"{_meaning(known[name], known)}\n"]
            parts += _table(of_kind)
    values = [site for site in every if site.kind == PART]
    parts += ["## Values that a file may not hold\n", "They follow the name of the key, in another error.\n"]
    parts += _table(values)
    return "\n".join(parts) + "\n"


def _meaning(kind: Kind, known: Mapping[str, Kind]) -> str:
    if kind.name == FAMILY:
        return "Of any file that is read; the exit code depends on what the file is."
    codes = {"USAGE": 2, "NOT_MEASURED": 4}
    ancestor: Kind | None = kind
    while ancestor is not None and ancestor.exit_code is None:
        ancestor = next((known[base] for base in ancestor.bases if base in known), None)
    return (
        f"{kind.means} Exit {codes[ancestor.exit_code]}." if ancestor and ancestor.exit_code else kind.means
    )


def _table(found: Sequence[Site]) -> Iterator[str]:
    yield "| says | what to do | raised in |\n| --- | --- | --- |"
    for site in found:
        yield f"| {_cell(site.says)} | {_cell(site.remedy)} | `{site.path.as_posix()}` |"
    yield ""


def _cell(text: str) -> str:
    """A text as a table's cell; what stands in backticks stays code."""
    parts = " ".join(text.split()).split("`")
    whole = len(parts) % 2 == 1  # every backtick has its partner
    shown = [part.replace("|", "\\|") if whole and n % 2 else _escaped(part) for n, part in enumerate(parts)]
    return ("`" if whole else "\\`").join(shown)


def _escaped(text: str) -> str:
    for character in "\\*_[]{}|":
        text = text.replace(character, f"\\{character}")
    return text.replace("<", "&lt;")


def never_raised(every: Sequence[Site], executed: Mapping[str, set[int]]) -> list[Site]:
    """Those whose line no test has reached; `executed` is path below the root -> lines that ran."""
    return [site for site in every if site.line not in executed.get(site.path.as_posix(), set())]


def main() -> None:
    """Name every error that the tests behind .coverage have not provoked; exit 1 where there are too many."""
    from coverage import CoverageData  # noqa: PLC0415 - the docs are built without it

    data = CoverageData(str(ROOT / ".coverage"))
    data.read()
    executed = {
        Path(file).relative_to(ROOT).as_posix(): set(data.lines(file) or ())
        for file in data.measured_files()
        if Path(file).is_relative_to(ROOT)
    }
    every = list(sites(parsed()))
    missing = never_raised(every, executed)
    for site in missing:
        print(site)
    print(f"{len(every) - len(missing)} of {len(every)} errors were provoked by a test")
    if len(missing) > int(sys.argv[1]):
        sys.exit(f"more than {sys.argv[1]} are not: provoke the new one in a test")


if __name__ == "__main__":
    main()
