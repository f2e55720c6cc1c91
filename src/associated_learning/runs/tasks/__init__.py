"""What else than classification a run can be for: its data, its target, what it shows."""
