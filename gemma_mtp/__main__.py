"""`python -m gemma_mtp` is the command `gemma-mtp`, which begins here, too.

Most of the time until the first word goes into imports, so they are inside what Ctrl-C may end.
"""

import sys


def main() -> int:
    """Run the command line and return its exit status."""
    try:
        from gemma_mtp.cli import main as command

        return command()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
