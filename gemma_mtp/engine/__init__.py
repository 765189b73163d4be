"""A reply as a stream of events: chat template, prompt cache, rounds, text out of tokens."""
