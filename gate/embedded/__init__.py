"""The tiny gpt-oss w4a8 checkpoint and the plugin that lets a CPU serve it."""
