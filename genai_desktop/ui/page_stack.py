"""The pages: built late, told what was said before they were there, and wired by what they offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QTimer, Signal, Slot
from PySide6.QtWidgets import QStackedWidget, QWidget

from genai_desktop.ui.pages import OTHER, TABS, build_page
from genai_desktop.ui.widgets.layouts import column

if TYPE_CHECKING:
    from collections.abc import Callable

    from genai_desktop.bridge.facades import Facades
    from genai_desktop.ui.latest import Latest
    from genai_desktop.ui.theme import Theme
    from genai_desktop.ui.ui_state import UiMemory

NAMES: tuple[str, ...] = (*TABS, *OTHER)


def call(page: QWidget, name: str, *arguments: Any) -> None:
    """Pages take part in as much of the protocol as they need."""
    method = getattr(page, name, None)
    if callable(method):
        method(*arguments)


def _complete_next(page: QWidget) -> bool:
    """Pages may leave for after the first paint what does not belong to the first look."""
    method = getattr(page, "complete_next", None)
    return bool(method()) if callable(method) else False


class PageStack(QStackedWidget):
    """What pages ask for comes out as signals; `page` builds on demand, `build_next` one page per turn."""

    open_requested = Signal(str)
    chat_requested = Signal(str)
    studio_requested = Signal(str)
    quit_requested = Signal()
    announced = Signal(str, str, object)
    badge_changed = Signal(str, int)  # page, number

    def __init__(self, facades: Facades, theme: Theme, latest: Latest, memory: UiMemory) -> None:
        super().__init__()
        self._facades, self._theme, self._latest, self._memory = facades, theme, latest, memory
        self._pages: dict[str, QWidget] = {}
        self._settings_values: dict[str, Any] = {}
        self._is_painted = False
        self.current = ""
        for name in NAMES:
            slot = QWidget()
            slot.setObjectName(f"page.{name}")
            column(slot, space=0)
            self.addWidget(slot)

    def built(self) -> dict[str, QWidget]:
        """The pages that exist."""
        return dict(self._pages)

    def page(self, name: str) -> QWidget:
        """The page, built now if it was not yet."""
        if name not in self._pages:
            self._pages[name] = page = build_page(name, self._facades, self._theme)
            self._adopt(name, page)
        return self._pages[name]

    def begin_with(self, name: str) -> None:
        """The first page: its place now, the page itself right after the frame was painted."""
        self.current = name
        self.setCurrentIndex(NAMES.index(name))

    def turn_to(self, name: str) -> None:
        """Bring a page to the front."""
        page = self.page(name)
        self.current = name
        self.setCurrentIndex(NAMES.index(name))
        call(page, "on_shown")

    def tell_settings(self, method: str, value: Any) -> None:
        """Something only the settings page shows; kept until it is built."""
        self._settings_values[method] = value
        if "settings" in self._pages:
            call(self._pages["settings"], method, value)

    @Slot()
    def note_painted(self) -> None:
        """The window is there: now complete what is shown, then build the rest."""
        self._is_painted = True
        if self.current and self.current not in self._pages:
            self.turn_to(self.current)
            call(self.page(self.current), "focus_default")
        self.build_next()

    @Slot()
    def build_next(self) -> None:
        """One piece per turn of the loop, so that the window answers in between."""
        for page in self._pages.values():
            if _complete_next(page):
                QTimer.singleShot(0, self, self.build_next)
                return
        for name in TABS:
            if name not in self._pages:
                self.page(name)
                QTimer.singleShot(40, self, self.build_next)
                return

    def _adopt(self, name: str, page: QWidget) -> None:
        slot = self.widget(NAMES.index(name))
        if slot is not None and (layout := slot.layout()) is not None:
            layout.addWidget(page)
        page.setProperty("pageName", name)
        wiring: tuple[tuple[str, Callable[..., Any]], ...] = (
            ("open_requested", self.open_requested.emit),
            ("chat_requested", self.chat_requested.emit),
            ("studio_requested", self.studio_requested.emit),
            ("quit_requested", self.quit_requested.emit),
            ("announced", self.announced.emit),
            ("ui_changed", self._memory.note_change),
            ("title_badge", self._on_badge),
        )
        for signal_name, target in wiring:
            signal = getattr(page, signal_name, None)
            if signal is not None:
                signal.connect(target)
        if hasattr(page, "ui_state"):
            remembered = self._memory.known(name)
            if isinstance(remembered, dict):
                call(page, "restore_ui", remembered)
            self._memory.add(name, page.ui_state)
        if self._is_painted:
            QTimer.singleShot(0, self, self.build_next)
        call(page, "replay", self._latest)
        if name == "settings":
            for method, value in self._settings_values.items():
                call(page, method, value)

    @Slot(int)
    def _on_badge(self, count: int) -> None:
        sender = self.sender()
        if sender is not None:
            self.badge_changed.emit(str(sender.property("pageName")), count)
