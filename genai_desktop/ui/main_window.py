"""The frame: rail, pages, status bar. It knows which page is shown and nothing of what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QIcon, QKeySequence, QShortcut
from PySide6.QtWidgets import QMainWindow, QSystemTrayIcon, QVBoxLayout, QWidget

from genai_desktop.ui.announcer import Announcer
from genai_desktop.ui.assets import asset
from genai_desktop.ui.latest import Latest
from genai_desktop.ui.page_stack import PageStack, call
from genai_desktop.ui.pages import TABS
from genai_desktop.ui.rail import Rail
from genai_desktop.ui.status_bar import StatusBar
from genai_desktop.ui.ui_state import UiMemory, decode, encode
from genai_desktop.ui.widgets.layouts import column, row

if TYPE_CHECKING:
    from PySide6.QtGui import QCloseEvent, QHideEvent, QMoveEvent, QResizeEvent, QShowEvent

    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.images import ImageResult
    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.core.settings import Settings
    from genai_desktop.ui.jobs_popover import JobsPopover
    from genai_desktop.ui.theme import Theme
    from genai_desktop.ui.tray import Tray


class MainWindow(QMainWindow):
    """Give it the facades and the theme and show it; listen to `quit_requested`.

    Closing never destroys it: it hides to the tray or asks to quit. `prepare_quit` hides it for good,
    `dispose` comes when the services are gone.
    """

    quit_requested = Signal()
    first_painted = Signal()

    def __init__(self, facades: Facades, theme: Theme) -> None:
        super().__init__()
        _speak(facades.settings.current.language)
        self._facades, self._theme = facades, theme
        self._may_close = False
        self._tray: Tray | None = None
        self.setWindowTitle("GenAI Desktop")
        self.setWindowIcon(QIcon(str(asset("icons", "app.svg"))))
        self.setMinimumSize(960, 640)
        self.resize(1280, 820)
        self.latest = Latest(facades, self)
        self.memory = UiMemory(facades.settings, self)
        self.rail = Rail(theme)
        self.stack = PageStack(facades, theme, self.latest, self.memory)
        self.status = StatusBar(facades, theme)
        right = self._build()
        self.announcer = Announcer(facades, theme, self.stack, right)
        self._popover: JobsPopover | None = None
        self._connect()
        self._restore()
        QTimer.singleShot(1000, self, self.start_tray)  # also when the window stays hidden

    def _build(self) -> QVBoxLayout:
        center = QWidget()
        whole = column(center, space=0)
        upper = row(space=0)
        upper.addWidget(self.rail)
        right = column(space=0)
        right.addWidget(self.stack, 1)
        upper.addLayout(right, 1)
        whole.addLayout(upper, 1)
        whole.addWidget(self.status)
        self.setCentralWidget(center)
        for index, name in enumerate(TABS, 1):
            shortcut = QShortcut(QKeySequence(f"Ctrl+{index}"), self)
            shortcut.setObjectName(f"shortcut.{name}")
            shortcut.activated.connect(self._on_shortcut)
        for keys, slot in (("Ctrl+,", self.show_settings), ("Ctrl+Q", self._on_quit)):
            QShortcut(QKeySequence(keys), self).activated.connect(slot)
        return right

    def _connect(self) -> None:
        facades = self._facades
        self.rail.chosen.connect(self.show_page)
        self.rail.first_painted.connect(self._on_first_painted, Qt.ConnectionType.QueuedConnection)
        self.rail.collapsed_changed.connect(self.memory.note_change)
        self.status.open_requested.connect(self.show_page)
        self.status.jobs_requested.connect(self._on_jobs_wanted)
        self.stack.open_requested.connect(self.show_page)
        self.stack.chat_requested.connect(self.chat_with)
        self.stack.studio_requested.connect(self.use_in_studio)
        self.stack.quit_requested.connect(self._on_quit)
        self.stack.announced.connect(self.announcer.announce)
        self.stack.badge_changed.connect(self._on_badge)
        self.announcer.open_requested.connect(self.show_page)
        self.announcer.quit_requested.connect(self._on_quit)
        facades.jobs.jobs_changed.connect(self._on_jobs)
        facades.images.finished.connect(self._on_image_finished)
        facades.settings.changed.connect(self._on_settings)
        facades.system.failed.connect(self._on_system_failed)
        facades.models.failed.connect(self._on_models_failed)
        facades.chat.failed.connect(self._on_chat_failed)
        facades.images.failed.connect(self._on_images_failed)

    def _restore(self) -> None:
        remembered = decode(self.memory.known("geometry"))
        if not remembered.isEmpty():
            self.restoreGeometry(remembered)
        self.rail.set_collapsed(bool(self.memory.known("rail_collapsed")))
        self.memory.add("geometry", self._geometry)
        self.memory.add("rail_collapsed", self._rail_collapsed)
        self.memory.add("page", self._page_to_remember)
        wanted = self.memory.known("page")
        if not self._facades.settings.current.onboarding_done:
            wanted = "welcome"
        first = wanted if wanted in (*TABS, "welcome") else "system"
        self.stack.begin_with(first)
        self.rail.select(first)

    # -- pages ------------------------------------------------------------------------------------------

    @property
    def current_page(self) -> str:
        return self.stack.current

    def page(self, name: str) -> QWidget:
        """The page, built now if it was not yet."""
        return self.stack.page(name)

    @Slot(str)
    def show_page(self, name: str) -> None:
        """Bring a page to the front: system, models, chat, images, settings or welcome."""
        if name == self.stack.current:
            return
        self.stack.turn_to(name)
        self.rail.select(name)
        if name == "images":
            self.rail.buttons["images"].set_badge(0)
        if not self.rail.isAncestorOf(self.focusWidget() or self):
            self.stack.setFocus()
            call(self.page(name), "focus_default")
        self.memory.note_change()

    @Slot(str)
    def chat_with(self, model_id: str) -> None:
        """Show the chat with this model picked."""
        self.show_page("chat")
        call(self.page("chat"), "show_model", model_id)

    @Slot(str)
    def use_in_studio(self, model_id: str) -> None:
        """Show the studio with this model picked."""
        self.show_page("images")
        call(self.page("images"), "show_model", model_id)

    @property
    def popover(self) -> JobsPopover:
        """The list of running jobs, made when it is first wanted."""
        if self._popover is None:
            from genai_desktop.ui.jobs_popover import JobsPopover

            self._popover = JobsPopover(self._facades, self._theme, self, self.status.jobs)
            self._popover.show_jobs(self.latest.jobs)
        return self._popover

    @Slot()
    def _on_jobs_wanted(self) -> None:
        self.popover.toggle()

    @Slot()
    def show_settings(self) -> None:
        self.show_page("settings")

    def set_data_folder(self, path: str) -> None:
        """Shown in the settings."""
        self.stack.tell_settings("set_data_folder", path)

    def set_autostart_supported(self, supported: bool) -> None:
        """Whether the settings offer to start with the computer."""
        self.stack.tell_settings("set_autostart_supported", supported)

    @Slot(object)
    def show_open_failure(self, error: BaseException) -> None:
        """The services could not be opened: say why, above all pages."""
        self.announcer.show_open_failure(error)

    # -- what happens elsewhere -------------------------------------------------------------------------

    @Slot(str, int)
    def _on_badge(self, name: str, count: int) -> None:
        if name in self.rail.buttons:
            self.rail.buttons[name].set_badge(count)

    @Slot(object)
    def _on_jobs(self, jobs: tuple[JobInfo, ...]) -> None:
        downloads = sum(job.kind == "download" and not job.is_finished for job in jobs)
        self.rail.buttons["models"].set_badge(downloads)

    @Slot(object)
    def _on_image_finished(self, result: ImageResult) -> None:
        if self.current_page != "images" or not self.isVisible():
            button = self.rail.buttons["images"]
            button.set_badge(button.badge + len(result.images))

    @Slot(object)
    def _on_settings(self, settings: Settings) -> None:
        self._theme.reduced_motion = settings.reduced_motion
        self._theme.set_mode(settings.theme)
        self._theme.set_text_scale(settings.text_scale)

    @Slot(object)
    def _on_system_failed(self, _failure: Failure) -> None:
        self._alert("system")

    @Slot(object)
    def _on_models_failed(self, _failure: Failure) -> None:
        self._alert("models")

    @Slot(object)
    def _on_chat_failed(self, _failure: Failure) -> None:
        self._alert("chat")

    @Slot(object)
    def _on_images_failed(self, _failure: Failure) -> None:
        self._alert("images")

    def _alert(self, name: str) -> None:
        """Something failed on a page nobody looks at."""
        if self.current_page not in (name, "welcome"):
            self.rail.buttons[name].set_alert(True)

    # -- keys and tray ----------------------------------------------------------------------------------

    @Slot()
    def _on_shortcut(self) -> None:
        self.show_page(self.sender().objectName().removeprefix("shortcut."))

    @Slot()
    def _on_quit(self) -> None:
        self.quit_requested.emit()

    def has_tray(self) -> bool:
        """Whether the window may hide: there is a tray to bring it back from."""
        if self._tray is not None:
            return self._tray.is_available
        return QSystemTrayIcon.isSystemTrayAvailable()

    @Slot()
    def start_tray(self) -> Tray:
        """The icon beside the clock; comes by itself after the first paint. Call it when starting hidden."""
        if self._tray is None:
            from genai_desktop.ui.tray import Tray

            self._tray = Tray(self._facades, self)
            self._tray.toggle_requested.connect(self.toggle_visible)
            self._tray.settings_requested.connect(self._on_tray_settings)
            self._tray.quit_requested.connect(self._on_quit)
            self.announcer.notification.connect(self._tray.notify)
            self._tray.set_window_visible(self.isVisible())
            self._tray.start(self.latest)
        return self._tray

    @Slot()
    def _on_tray_settings(self) -> None:
        self.bring_to_front()
        self.show_settings()

    @Slot()
    def bring_to_front(self) -> None:
        """Also when hidden or minimised: tray, second start."""
        if self.isMinimized():
            self.showNormal()
        else:
            self.show()
        self.raise_()
        self.activateWindow()

    @Slot()
    def toggle_visible(self) -> None:
        if self.isVisible() and not self.isMinimized():
            self.hide()
        else:
            self.bring_to_front()

    # -- remembering and closing ------------------------------------------------------------------------

    def _geometry(self) -> str:
        return encode(self.saveGeometry())

    def _rail_collapsed(self) -> bool:
        return self.rail.is_collapsed

    def _page_to_remember(self) -> str:
        return self.current_page if self.current_page in TABS else "system"

    def prepare_quit(self) -> None:
        """Remember everything, hide, and let the next close succeed. Call before the facades are closed."""
        self.memory.write()
        for page in self.stack.built().values():
            call(page, "prepare_quit")
        self._may_close = True
        if self._tray is not None:
            self._tray.stop()
        self.hide()

    def dispose(self) -> None:
        """The services are gone; nothing may start any more. Delete the window after this."""
        self._may_close = True
        self.memory.stop()
        if self._tray is not None:
            self._tray.stop()
        for page in self.stack.built().values():
            call(page, "dispose")
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._may_close:
            event.accept()
            return
        event.ignore()
        self.memory.write()
        choice = self._facades.settings.current.close_to_tray
        if not self.has_tray() or choice is False:
            self.quit_requested.emit()
        elif choice:
            self.hide()
        else:
            self._ask_about_closing()

    def _ask_about_closing(self) -> None:
        from genai_desktop.ui.questions import CloseQuestion

        question = CloseQuestion(self._theme, self)
        question.answered.connect(self._on_close_answer)
        question.open()

    @Slot(bool, bool)
    def _on_close_answer(self, keep_running: bool, remember: bool) -> None:
        if remember:
            self._facades.settings.update(close_to_tray=keep_running)
        if keep_running:
            self.hide()
        else:
            self.quit_requested.emit()

    # -- events -----------------------------------------------------------------------------------------

    @Slot()
    def _on_first_painted(self) -> None:
        self.first_painted.emit()
        QTimer.singleShot(100, self, self.start_tray)
        QTimer.singleShot(0, self.stack, self.stack.note_painted)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._tray is not None:
            self._tray.set_window_visible(True)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        if self._tray is not None:
            self._tray.set_window_visible(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.memory.note_change()
        if self._popover is not None:
            self._popover.hide()

    def moveEvent(self, event: QMoveEvent) -> None:
        super().moveEvent(event)
        self.memory.note_change()


def _speak(language: str) -> None:
    """English is in the sources; anything else is looked for."""
    if (language or QLocale.system().name()).partition("_")[0] not in ("en", "C"):
        from genai_desktop.ui import translate

        translate.install(language)
