"""SHA-256 of a file on disk."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from genai_desktop.core.errors import CancelledError
from genai_desktop.library.disk import storage_error
from genai_desktop.library.threads import in_thread

_BLOCK = 2 << 20


async def sha256_of(path: Path, on_bytes: Callable[[int], None]) -> str:
    """Lower-case hex. on_bytes(total so far) is called in the hashing thread, every 2 MiB; cancellable.

    Raises StorageError when the file cannot be read.
    """
    stop = threading.Event()
    return await in_thread(lambda: _digest(path, on_bytes, stop), stop=stop.set, name="sha256")


def _digest(path: Path, on_bytes: Callable[[int], None], stop: threading.Event) -> str:
    digest = hashlib.sha256()
    buffer = bytearray(_BLOCK)
    view = memoryview(buffer)
    done = 0
    try:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(buffer):
                if stop.is_set():
                    raise CancelledError("The check was stopped.")
                digest.update(view[:size])
                done += size
                on_bytes(done)
    except OSError as error:
        raise storage_error(error, "read", path) from error
    return digest.hexdigest()
