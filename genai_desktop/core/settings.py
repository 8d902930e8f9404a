"""Every setting a person can change, with its default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Settings:
    """Persisted as JSON.

    The store keeps unknown keys of a newer version; wrong types fall back to the default.
    """

    theme: Literal["system", "light", "dark"] = "system"
    language: str = ""  # empty: the system's
    offline: bool = False
    step_aside: Literal["auto", "always", "never"] = "auto"  # when an image job needs room
    pause_reply_for_image: bool = False  # False: a running reply finishes first
    llama_port: int = 0  # 0: any free port
    image_port: int = 8081
    close_to_tray: bool | None = None  # None: not asked yet
    start_minimized: bool = False
    autostart: bool = False
    notifications: bool = True
    reduced_motion: bool = False
    text_scale: int = 100  # percent, 100..150
    models_folders: tuple[str, ...] = ()
    images_folder: str = ""  # empty: the data folder's gallery
    default_llm: str = ""
    default_image_model: str = ""
    onboarding_done: bool = False
    engine_paths: dict[str, str] = field(default_factory=dict)  # engine name -> own binary or build id
    system_prompt: str = ""
    llm: dict[str, Any] = field(default_factory=dict)  # LlamaServerConfig values, by model id ("" for all)
    ui: dict[str, Any] = field(default_factory=dict)  # geometry, splitters, form values; opaque to services
