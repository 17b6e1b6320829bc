"""GitHub: what arrives from there, and what is posted."""
