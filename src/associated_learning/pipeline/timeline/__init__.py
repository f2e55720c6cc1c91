"""What ran when, as a value, as figures and as a picture."""
