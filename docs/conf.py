"""How Sphinx builds these pages: `make docs`, strictly, into out/docs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference import write_reference

project = "vllm-eval-gate"
author = "the vllm-eval-gate authors"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = project
html_copy_source = False
exclude_patterns = ["generated/README.md"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True


def setup(app: object) -> None:
    """Write the pages that come from the code before Sphinx reads the others."""
    write_reference(Path(__file__).parent / "generated")
