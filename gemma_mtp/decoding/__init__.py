"""Speculative decoding as pure rules: rounds, sampling, drafts, and the draft length."""
