"""The command line: one file a command; the one place where errors become text."""
