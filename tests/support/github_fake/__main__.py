"""The fake for trying things by hand: `python -m tests.support.github_fake`.

Prints the variables that point `gate` at it, then serves until it is interrupted; each request is a line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from tests.support.github_fake.samples import engine, fork_of
from tests.support.github_fake.server import FakeGitHub


def main() -> None:
    """Serve org/engine with an open pull request #1 from a fork, mia and wim being maintainers."""
    with tempfile.TemporaryDirectory() as folder, FakeGitHub(Path(folder) / "github") as fake:
        repository = engine(fake)
        repository.workflows |= {"gate.yml", "gate-baseline.yml"}
        fork = fork_of(fake, repository)
        pull = repository.open_pull(fork, "topic")
        print(f"export GITHUB_API_URL={fake.url}\nexport GATE_GITHUB_TOKEN={fake.token()}")
        print(
            f"export PR={pull.number}\nexport SHA={pull.head}\nexport BASE={repository.git.find('main')}\n",
            flush=True,
        )
        shown = 0
        try:
            while True:
                for asked in fake.asked[shown:]:
                    print(
                        f"{asked.operation:<32} {json.dumps(asked.body)[:1000] if asked.body else ''}",
                        flush=True,
                    )
                for violation in fake.violations:
                    print(f"GITHUB WOULD REFUSE: {violation}", file=sys.stderr, flush=True)
                shown = len(fake.asked)
                fake.violations.clear()
                time.sleep(0.1)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
