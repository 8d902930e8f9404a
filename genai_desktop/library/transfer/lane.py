"""One request for one stretch of a file, in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time

import httpx

from genai_desktop.core.errors import DownloadError
from genai_desktop.library.transfer.answers import Changed, Expired, NoRanges, Transient
from genai_desktop.library.transfer.meter import SlowGuard
from genai_desktop.library.transfer.policy import TransferPolicy
from genai_desktop.library.transfer.segments import Segment
from genai_desktop.library.transfer.store import Store
from genai_desktop.library.transfer.traffic import Throttle
from genai_desktop.library.transfer.web import (
    RemoteFile,
    Stop,
    Web,
    content_range,
    refuse_encoding,
    whole_size,
)


class Lane(threading.Thread):
    """Fills `segment`, puts itself into `outcomes` and ends. `error`: why it ended early, else None.

    reach: the end of the range to ask for (None: of the file); a segment may end before it, or shrink.
    is_by_digest: the SHA-256 is known and decides, so a mirror with another ETag is welcome.
    """

    def __init__(
        self,
        *,
        web: Web,
        remote: RemoteFile,
        segment: Segment,
        reach: int | None,
        is_by_digest: bool,
        store: Store,
        policy: TransferPolicy,
        throttle: Throttle,
        stop: Stop,
        outcomes: queue.SimpleQueue[Lane],
    ) -> None:
        super().__init__(name="transfer-lane", daemon=True)
        self._web = web
        self.remote = remote
        self.segment = segment
        self._reach = reach
        self._is_by_digest = is_by_digest
        self._store = store
        self._policy = policy
        self._throttle = throttle
        self._transfer_stop = stop  # Thread has a `_stop` of its own
        self._outcomes = outcomes
        self.gained = 0
        self.is_whole = False  # the server sends the whole file and would not send a part
        self.is_retired = False
        self.error: BaseException | None = None

    def retire(self) -> None:
        """End at the next bytes; what they are does not matter any more."""
        self.is_retired = True

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the receiver raises it in its own thread
            self.error = error
        self._outcomes.put(self)

    def _is_over(self) -> bool:
        return self.is_retired or bool(self._transfer_stop)

    def _work(self) -> None:
        remote = self.remote
        headers: dict[str, str] = {}
        if remote.has_ranges:
            last = "" if self._reach is None else str(self._reach - 1)
            headers["Range"] = f"bytes={self.segment.position}-{last}"
            validator = remote.strong_etag or remote.last_modified
            if validator and not self._is_by_digest:
                headers["If-Range"] = validator
        with self._web.get(remote.url, headers) as (response, _):
            if self._is_over():
                return
            self._check_answer(response)
            self._take_body(response)

    def _check_answer(self, response: httpx.Response) -> None:
        status, position = response.status_code, self.segment.position
        if status == 416:
            raise Changed
        if status not in (200, 206):
            refused = self._web.refusal(response)
            if isinstance(refused, DownloadError) and status in (401, 403, 404, 410):
                raise Expired(refused)
            raise refused
        refuse_encoding(response)
        if status == 206:
            start, end, total = content_range(response)
            self._refuse_change(response, total)
            if start != position or (self._reach is not None and end >= self._reach):
                raise Transient("the server sent another part of the file than asked for")
            return
        self._refuse_change(response, whole_size(response))
        if position or self._reach != self.remote.size:
            raise NoRanges
        self.is_whole = True

    def _refuse_change(self, response: httpx.Response, size: int | None) -> None:
        remote, etag = self.remote, response.headers.get("etag", "")
        is_resized = size is not None and remote.size is not None and size != remote.size
        is_other = etag and remote.strong_etag and etag != remote.strong_etag
        if is_resized or (is_other and not self._is_by_digest):
            raise Changed

    def _take_body(self, response: httpx.Response) -> None:
        policy, segment, reach = self._policy, self.segment, self._reach
        slow = SlowGuard(time.monotonic(), 0, policy.slow_bytes_per_second, policy.slow_seconds)
        throttled = 0.0
        at = segment.position
        for chunk in response.iter_raw():
            throttled += self._throttle.take(len(chunk), self._is_over)
            if self._is_over():
                return
            if reach is not None and at + len(chunk) > reach:
                raise Transient("the server sent more than it announced")
            written = self._store.write(segment, chunk)
            at += written
            self.gained += written
            if segment.is_done:
                if at < (reach or at):
                    return  # another connection has the rest
            elif slow.is_too_slow(time.monotonic() - throttled, self.gained):
                raise Transient("the connection was too slow to be of use")
        if self._is_over():
            return  # a cut connection can look like the end of the file
        if segment.end is None:
            self._store.close(segment)
        elif not segment.is_done:
            raise Transient("the connection ended before the file did")
