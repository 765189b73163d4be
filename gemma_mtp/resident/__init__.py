"""The resident engine: a process that keeps a pair loaded between commands, and its clients."""
