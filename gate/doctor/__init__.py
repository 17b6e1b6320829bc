"""`gate doctor`: is this runner ready to measure? Facts are gathered, checks decide over them, purely."""
