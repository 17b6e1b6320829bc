"""Installed distributions written by hand, where pip has nothing to install from or needs a build.

Source: the Python Packaging User Guide, "Recording installed projects" and "Entry points".
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path


def install_folder(folder: Path, site_packages: Path) -> str:
    """Install the pure-Python distribution whose pyproject.toml is in `folder`; "name version".

    The package is the one folder beside pyproject.toml; the entry points are the project's.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = str(project["name"]).replace("-", "_")
    target = site_packages / package
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(folder / package, target, ignore=shutil.ignore_patterns("__pycache__"))
    lines = []
    for group, points in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    write_metadata(
        site_packages,
        project["name"],
        project["version"],
        entry_points="\n".join([*lines, ""]),
        files=sorted(target.rglob("*.py")),
    )
    return f"{project['name']} {project['version']}"


def write_metadata(
    site_packages: Path, name: str, version: str, *, entry_points: str = "", files: Iterable[Path] = ()
) -> None:
    """Write the `.dist-info` of an installed distribution, in the place of any of the same name."""
    stem = name.replace("-", "_")
    for old in site_packages.glob(f"{stem}-*.dist-info"):
        shutil.rmtree(old)
    folder = site_packages / f"{stem}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    (folder / "INSTALLER").write_text("gate\n", encoding="utf-8")
    if entry_points:
        (folder / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    record = folder / "RECORD"
    listed = [*files, *sorted(folder.iterdir()), record]
    record.write_text(
        "".join(f"{path.relative_to(site_packages).as_posix()},,\n" for path in listed), encoding="utf-8"
    )
