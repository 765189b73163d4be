"""Which models there are, where their files lie, what these hold, and what they need."""
