"""From a name, a file or a folder to raw data: one reader for each kind, and the formats."""
