"""``python -m benchmarks.kills [ROUNDS] [SEED]``: rounds of kill -9 with the spool on, told one by one.

The same rounds as in the tests, in every mode; prints rounds, records, lost and duplicates, and fails if any is lost.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import spool_rounds


def main() -> int:
    words = [int(word) for word in sys.argv[1:]]
    count, seed = words[0] if words else 100, words[1] if words[1:] else 0
    modes = ("write", "replay", "write", "away")
    with tempfile.TemporaryDirectory() as folder:
        tally = asyncio.run(
            spool_rounds.rounds(Path(folder), count, seed=seed, fsync=True, modes=modes, tell=lambda text: print(text))
        )
    print("in all:", tally.figures, *tally.too_many)
    return 1 if tally.lost or tally.too_many else 0


if __name__ == "__main__":
    sys.exit(main())
