"""The GitHub Action: what its modes do with the inputs of `action.yml`."""
