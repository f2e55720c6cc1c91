"""Images and masks: decoded, in one format, augmented."""
