"""`python -m benchmarks [NAME ...]`: run all, or those named."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.harness import Row, write

NAMES = ("start", "idle", "stall", "chat", "handoff", "download")


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in wanted:
        found = import_module(f"benchmarks.{name}").measure()
        for row in found:
            rival = f"{row.rival_name} {row.rival:.3g}"
            print(f"{row.name}: {row.value:.3g} {row.unit}, {rival}, ratio {row.ratio:.2f}", flush=True)
        rows += found
        write(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
