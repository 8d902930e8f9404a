"""Which pages there are, and how each is built: late, so that the first paint does not wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from genai_desktop.bridge.facades import Facades
    from genai_desktop.ui.theme import Theme

# name -> icon; the order is the order of the rail and of Ctrl+1..4
TABS: dict[str, str] = {"system": "system", "models": "models", "chat": "chat", "images": "images"}
OTHER: tuple[str, ...] = ("settings", "welcome")


def build_page(name: str, facades: Facades, theme: Theme) -> QWidget:
    """Import and construct one page."""
    if name == "system":
        from genai_desktop.ui.system.page import SystemPage

        return SystemPage(facades, theme)
    if name == "models":
        from genai_desktop.ui.models.page import ModelsPage

        return ModelsPage(facades, theme)
    if name == "chat":
        from genai_desktop.ui.chat.page import ChatPage

        return ChatPage(facades, theme)
    if name == "images":
        from genai_desktop.ui.images.page import ImagesPage

        return ImagesPage(facades, theme)
    if name == "settings":
        from genai_desktop.ui.settings_dialog import SettingsPage

        return SettingsPage(facades, theme)
    if name == "welcome":
        from genai_desktop.ui.onboarding import OnboardingPage

        return OnboardingPage(facades, theme)
    raise ValueError(f"there is no page {name!r}")
