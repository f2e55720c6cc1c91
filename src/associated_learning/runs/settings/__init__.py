"""What users may set of a run: one panel of the help a file."""
