"""`make chaos MUTANTS=1`: with how many of twenty seeds the checker reports each mutant. Half of them are enough.

ONLY=name measures one mutant, JOBS=2 so many at once. All are tried with the first seed, then with the second, and so
on. Results are kept in .local/mutants.json and not measured again; delete that file to begin anew.
"""

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

from tests.chaos.mutants import MUTANTS
from tests.chaos.test_mutants import is_seen

SEEDS = range(1, 21)
HALF = len(SEEDS) // 2
KEPT = Path(".local/mutants.json")


def main() -> int:
    """Prints how often each mutant was reported. Returns 1 if one was with less than half of the seeds."""
    only = os.environ.get("ONLY")
    chosen = [mutant for mutant in MUTANTS if only in (None, "", mutant.name)]
    found: dict[str, dict[str, bool]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    jobs = int(os.environ.get("JOBS") or 1)
    with ProcessPoolExecutor(jobs) as pool:
        for seed in SEEDS:
            new = [mutant.name for mutant in chosen if str(seed) not in found.get(mutant.name, {})]
            for name, seen in zip(new, pool.map(_is_seen, new, repeat(seed)), strict=True):
                found.setdefault(name, {})[str(seed)] = seen
                KEPT.write_text(json.dumps(found, indent=1))
                print(f"seed {seed}: {name} is {'seen' if seen else 'NOT seen'}", flush=True)
    weak = 0
    for mutant in chosen:
        seen = found[mutant.name]
        weak += sum(seen.values()) < HALF
        first = next((seed for seed, is_it in seen.items() if is_it), "none")
        print(f"{sum(seen.values()):4} of {len(seen)} seeds, the first is {first}: {mutant.name}")
    print(f"{weak} mutants are seen with less than half of {len(SEEDS)} seeds")
    return 1 if weak else 0


def _is_seen(name: str, seed: int) -> bool:
    return is_seen(next(mutant for mutant in MUTANTS if mutant.name == name), seed)


if __name__ == "__main__":
    sys.exit(main())
