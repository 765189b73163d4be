"""Many requests of a file, and their answers in another; each line is one of them."""
