"""How often and how long a transfer tries again."""

from __future__ import annotations

import random

from genai_desktop.core.errors import DownloadError
from genai_desktop.library.transfer.answers import Expired, Transient
from genai_desktop.library.transfer.policy import TransferPolicy

_CHANGES_ALLOWED = 3


class Patience:
    """Counts what went wrong since bytes last arrived."""

    def __init__(self, policy: TransferPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._refreshes = 0
        self._changes = 0
        self._restarts = 0

    def reward(self, gained: int) -> None:
        """An attempt that brought something starts the count anew."""
        if gained >= self._policy.meaningful_bytes:
            self._failures = self._refreshes = 0

    def delay_after(self, fault: Transient) -> float:
        """Seconds to let pass before the next attempt; raises DownloadError after enough of them."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            raise DownloadError(
                f"The download did not finish: {fault.reason} ({self._failures} attempts).",
                remedy="Check the connection and start it again; what has arrived is kept.",
            ) from fault
        # full jitter: a thousand clients of a server that came back do not come back at once
        longest = min(self._policy.backoff_cap, self._policy.backoff * 2**self._failures)
        return fault.wait if fault.wait is not None else random.uniform(0, longest)  # noqa: S311

    def count_refresh(self, expired: Expired) -> None:
        """Raises the server's refusal when a fresh address does not help either."""
        self._refreshes += 1
        if self._refreshes > self._policy.refreshes:
            raise expired.refusal from expired

    def count_restart(self) -> None:
        """Raises DownloadError when a server that cannot go on in the middle breaks off again and again."""
        self._restarts += 1
        if self._restarts >= self._policy.attempts:
            raise DownloadError(
                "The server cannot continue a download, and it broke off "
                f"{self._restarts} times before the file was complete.",
                remedy="Try again on a steadier connection, or use another source of the same file.",
            )

    def count_change(self) -> None:
        """Raises DownloadError when the file will not hold still."""
        self._changes += 1
        if self._changes > _CHANGES_ALLOWED:
            raise DownloadError(
                "The file on the server changes again and again while it is downloaded.",
                remedy="Pin a revision, or try again later.",
            )
