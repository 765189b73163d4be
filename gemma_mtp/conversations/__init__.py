"""Conversations: what was said, and where it is kept."""
