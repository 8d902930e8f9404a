"""A process that downloads one file, to be killed: `python -m tests.fakes.fetch_driver URL DEST [LANES]`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from genai_desktop.library.transfer import TransferEngine, TransferPolicy, TransferRequest


def main() -> None:
    url, dest = sys.argv[1:3]
    lanes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    policy = TransferPolicy(
        journal_seconds=0.05,
        backoff=0.001,
        connections_at_first=lanes,
        connections=lanes,
        connections_max=lanes,
        min_segment=256 * 1024,
    )
    result = asyncio.run(TransferEngine(policy=policy).fetch(TransferRequest(url, Path(dest))))
    print(result.sha256, result.resumed_from, flush=True)


if __name__ == "__main__":
    main()
