"""When each stage of a pipeline worked on which batch: as a value, in figures, as a picture."""
