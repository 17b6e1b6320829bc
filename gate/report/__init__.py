"""Rendering: a GateReport in, text out; nothing here does I/O."""
