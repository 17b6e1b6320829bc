"""The engine under test: its life cycle, how it is launched, and what its log proves."""
