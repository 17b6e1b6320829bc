"""The committed store of accepted runs."""
