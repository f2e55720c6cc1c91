"""The network of a run: its family, its AL options, what it must know of the data."""
