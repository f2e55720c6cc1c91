"""Does a converted network compute and learn what its model does? Trials that show what is wrong."""
