"""Markdown that is rendered while it is being written: text in, styled pieces out.

Knows columns, but neither a terminal nor where the text comes from.
"""
