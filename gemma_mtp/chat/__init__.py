"""The REPL: what a line does, and its verbs."""
