"""Labels to class numbers, sets or values; their noise, and how much rows count."""
