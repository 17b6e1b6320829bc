"""The numerics probe: do the kernels compute the log-probabilities that they did? See docs/numerics.md."""
