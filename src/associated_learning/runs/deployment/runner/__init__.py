"""The runner that an export brings: `model` and one of the kinds, joined into one file."""
