"""Speed of a pair by draft length: what is run, what came of it, and how that is reported."""
