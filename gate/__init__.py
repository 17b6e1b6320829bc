"""A regression gate for quantized LLM inference."""
