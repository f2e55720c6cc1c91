"""Early exit of a run: thresholds, report and picture."""
