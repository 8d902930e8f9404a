"""What an earlier run left unfinished, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recovery:
    """Found at start, after a run that did not end properly. Empty fields: nothing of that kind.

    model_id: the language model that was loaded (or stepping aside); ended_children: servers we ended.
    """

    model_id: str = ""
    model_name: str = ""
    ended_children: tuple[str, ...] = ()
    interrupted_messages: int = 0
    interrupted_images: int = 0

    def __bool__(self) -> bool:
        return any((self.model_id, self.ended_children, self.interrupted_messages, self.interrupted_images))
