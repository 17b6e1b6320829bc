"""The statistics of the gate: pure functions, arrays in, numbers out (docs/statistics.md)."""
