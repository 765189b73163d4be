"""Speed of a pair by draft length: what is run, what came of it, what to do about it."""
