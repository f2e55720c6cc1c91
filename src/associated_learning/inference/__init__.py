"""Algorithm 3: over data sets, leaving early, and as files for other programs."""
