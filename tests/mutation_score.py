"""The score of `make mutation`, module by module; exit code 1 where fewer than 90 % of the mutants are killed.

A mutant counts as killed where a test failed, and as nothing else: not where its tests ran out of time.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from mutmut.stats import status_by_exit_code
from tabulate import tabulate

LOWEST = 90.0
COLUMNS = ("killed", "survived", "no tests", "timeout")


def row(name: str, counts: Counter[str]) -> list[object]:
    others = counts.total() - sum(counts[column] for column in COLUMNS)
    share = 100 * counts["killed"] / counts.total()
    return [name, counts.total(), *(counts[column] for column in COLUMNS), others, f"{share:.1f} %"]


def main() -> int:
    root = Path("mutants/src/resbench")
    found = {}
    for path in sorted(root.rglob("*.py.meta")):
        results = json.loads(path.read_text())["exit_code_by_key"].values()
        if results:
            name = path.relative_to(root).as_posix().removesuffix(".meta")
            found[name] = Counter(status_by_exit_code[code] for code in results)
    if not found:
        print("no mutants were tried here: mutmut run", file=sys.stderr)
        return 2
    total: Counter[str] = sum(found.values(), Counter())
    table = [row(name, counts) for name, counts in [*found.items(), ("all", total)]]
    print(tabulate(table, headers=["module", "mutants", *COLUMNS, "other", "score"], colalign=("left", *7 * ["right"])))
    return int(100 * total["killed"] / total.total() < LOWEST)


if __name__ == "__main__":
    sys.exit(main())
