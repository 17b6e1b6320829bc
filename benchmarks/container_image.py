"""An image of the embedded engine, made without a registry.

It holds an environment, the Python below it and the libraries of this machine that both are linked with, at
the paths that they have here; a shell for what they start; nothing else.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_LEFT_OUT: Final = frozenset({"__pycache__", "site-packages", "test", "tests", "config-3"})
_BATCH: Final = 100
_LDD: Final = "/usr/bin/ldd"
# The shell and lscpu for vLLM, which counts its cores with it.
_ALWAYS: Final = ("/bin/sh", "/usr/bin/lscpu", "/etc/ld.so.cache", "/etc/nsswitch.conf")
_ACCOUNTS: Final = {"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "etc/group": b"root:x:0:\n"}
_LINKS: Final = ("/bin", "/lib", "/lib64", "/sbin")
_BASE: Final = (
    "import json, pathlib, sys, sysconfig; print(json.dumps([str(pathlib.Path(sys.executable).resolve()), "
    "sysconfig.get_path('stdlib'), sysconfig.get_config_var('LIBDIR')]))"
)


def build(podman: Sequence[str], reference: str, environment: Path) -> None:
    """Import the image under a name; /stand-in comes first on its PATH, then the environment's programs.

    Args:
        podman: the client, as a list.
        reference: the name.
        environment: folder of a virtual environment.

    Raises:
        CalledProcessError: the container engine takes no image.
    """
    environment = environment.resolve()
    search = f"PATH=/stand-in:{environment / 'bin'}:/usr/bin:/bin"
    command = [*podman, "import", "--quiet", "--change", f"ENV {search}", "-", reference]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as importing,
        tarfile.open(fileobj=importing.stdin, mode="w|") as image,
    ):
        _fill(image, environment)
    if importing.returncode:
        raise subprocess.CalledProcessError(importing.returncode, command)


def layer(podman: Sequence[str], reference: str, base: str, files: Mapping[str, str]) -> None:
    """Build an image that has `base` and, in /stand-in, these programs; name -> text.

    Raises:
        CalledProcessError: the container engine builds none.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
            (Path(folder) / name).chmod(0o755)
        (Path(folder) / "Containerfile").write_text(f"FROM {base}\nCOPY {' '.join(files)} /stand-in/\n")
        subprocess.run(
            [*podman, "build", "--quiet", "--tag", reference, folder], check=True, stdout=subprocess.DEVNULL
        )


def _fill(image: tarfile.TarFile, environment: Path) -> None:
    for link in (Path(name) for name in _LINKS):
        if link.is_symlink():
            image.add(link, recursive=False)
    told = subprocess.run([environment / "bin/python", "-c", _BASE], capture_output=True, check=True)
    interpreter, library, shared = (Path(part) for part in json.loads(told.stdout))
    # Whoever walks there must be let through: a checkout below /root is closed to everybody else.
    seen: set[Path] = set()
    for folder in ("/tmp", "/etc", "/proc", "/sys", "/dev", "/run"):  # noqa: S108 - in the image
        seen.add(Path(folder))
        image.addfile(_folder(folder, 0o1777 if folder == "/tmp" else 0o755))  # noqa: S108
    files = [interpreter, *shared.glob("libpython*.so*"), *_below(library, _LEFT_OUT), *_below(environment)]
    files += [Path(path) for path in _ALWAYS if Path(path).exists()]
    for path in [*files, *_libraries(files)]:
        for real in _with_links(path):
            if real not in seen:
                _add_folders(image, real, seen)
                image.add(real, recursive=False, filter=_as_root)
                seen.add(real)
    for name, content in _ACCOUNTS.items():
        header = tarfile.TarInfo(name)
        header.size = len(content)
        image.addfile(header, io.BytesIO(content))


def _below(folder: Path, left_out: frozenset[str] = frozenset({"__pycache__"})) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name in left_out:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        else:
            yield path


def _libraries(files: Sequence[Path]) -> Iterator[Path]:
    """The shared libraries that these files name, as the loader of this machine finds them."""
    linked = [
        path for path in files if ".so" in path.suffixes or path.parent.name == "bin" or path.name == "sh"
    ]
    for start in range(0, len(linked), _BATCH):
        batch = [str(path) for path in linked[start : start + _BATCH]]
        said = subprocess.run([_LDD, *batch], capture_output=True, text=True, check=False).stdout
        for line in said.splitlines():
            named = line.partition("=>")[2].split() or line.split()
            if line.startswith(("\t", " ")) and named and named[0].startswith("/"):
                yield Path(named[0])


def _with_links(path: Path) -> Iterator[Path]:
    """A file, or a link with everything that it leads to; folders that are links are resolved."""
    while True:
        path = path.parent.resolve() / path.name
        yield path
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def _add_folders(image: tarfile.TarFile, path: Path, seen: set[Path]) -> None:
    for folder in reversed(path.parents[:-1]):
        if folder not in seen:
            image.addfile(_folder(str(folder), 0o755))
            seen.add(folder)


def _folder(name: str, mode: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name.lstrip("/"))
    header.type, header.mode = tarfile.DIRTYPE, mode
    return header


def _as_root(header: tarfile.TarInfo) -> tarfile.TarInfo:
    header.uid = header.gid = 0
    header.mode |= 0o555 if header.mode & 0o111 else 0o444
    return header
