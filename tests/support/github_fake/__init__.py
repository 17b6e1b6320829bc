"""GitHub's REST API on this machine: state, pages, permissions, faults, and GitHub's own description of it.

Every request and every response passes through `@octokit/openapi` (api.github.com.json). What GitHub would
not accept is refused with 422 and remembered: `FakeGitHub.violations` must be empty when a test ends.
"""

from tests.support.github_fake.server import FakeGitHub, Fault

__all__ = ["FakeGitHub", "Fault"]
