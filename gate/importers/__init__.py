"""Logs of other harnesses as run records; one module a harness, none of which needs the harness installed."""
