"""Says how llama.cpp should be built here: CMake's arguments in a line, then lines for the user.

    python -m gemma_mtp.models.build RELEASE

The set-up scripts call it, before anything is installed. RELEASE is that of llama-cpp-python.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gemma_mtp.models.build.advice import ways
from gemma_mtp.models.build.choice import choose
from gemma_mtp.models.build.installation import Installation
from gemma_mtp.models.build.system import System


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release")
    parser.add_argument("--root", type=Path, default=Path("/"), help="look at the files below this")
    parser.add_argument("--offline", action="store_true", help="ask no index")
    args = parser.parse_args()
    choice = choose(System(args.root))
    print(choice.build.arguments)
    print(f"llama.cpp is built for {choice.build.reason}.")
    if not all(lack.card.integrated for lack in choice.lacks):
        for line in ways(choice, Installation(), args.release, not args.offline):
            print(line)


if __name__ == "__main__":
    main()
