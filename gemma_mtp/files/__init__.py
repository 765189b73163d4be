"""Reads what others wrote within limits, and writes files of ours whole and private."""
