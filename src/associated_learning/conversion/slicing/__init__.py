"""From a recording and its cuts to the encoders f: slices that call the model's own modules."""
