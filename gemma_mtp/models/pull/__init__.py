"""Pulling: a pair from the hub, another program's store or a folder, verified and resumable."""
