"""Getting files from the network onto the disk: resumable, verified, and honest about what went wrong."""

from genai_desktop.library.transfer.engine import TransferEngine
from genai_desktop.library.transfer.policy import TransferPolicy, TransferRequest, TransferResult
from genai_desktop.library.transfer.web import RemoteFile, is_loopback, origin

__all__ = [
    "RemoteFile",
    "TransferEngine",
    "TransferPolicy",
    "TransferRequest",
    "TransferResult",
    "is_loopback",
    "origin",
]
