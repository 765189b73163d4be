"""Tools that a model may call: read from files, and run by servers that the user has named."""
