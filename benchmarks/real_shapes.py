"""Writes a pair with the true shapes of a Gemma 4 size and random weights, to measure with.

    python benchmarks/real_shapes.py FOLDER [e2b e4b 12b ...] [--type Q4_0] [--drafter-type Q4_0]

`gemma-mtp bench --shape` makes the same pair, measures it and removes it; this one is kept. What
such files are is said in gemma_mtp/models/random_pair.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.random_pair import BLOCKS, random_pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sizes", nargs="*", default=["e2b"])
    parser.add_argument("--type", default="Q4_0", choices=BLOCKS)
    parser.add_argument("--drafter-type", default="Q4_0", choices=BLOCKS)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    catalogue = load_catalogue()
    for size in args.sizes:
        entry = catalogue.find(size)
        if entry is None or entry.shape is None:
            parser.error(f"the shape of {size!r} is not in models.toml")
        names = (f"{entry.size}-{args.type}.gguf", f"mtp-{entry.size}-{args.drafter_type}.gguf")
        for name, file in zip(names, random_pair(entry, args.type, args.drafter_type), strict=True):
            file.write(args.folder / name, lambda share: True)
            print(f"{args.folder / name}  {file.size:,} bytes")


if __name__ == "__main__":
    main()
