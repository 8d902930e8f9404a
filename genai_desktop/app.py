"""Composition root of the window: builds everything once, and takes it down in order."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genai_desktop.core.errors import GenaiError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from PySide6.QtWidgets import QApplication

    from genai_desktop.services.genai import GenAI

_log = logging.getLogger(__name__)
CLOSE_DEADLINE = 12.0  # seconds the services have to stop their children
APP_ID = "genai-desktop"
_XCB_LIBRARIES = (
    "libxcb-cursor.so.0",
    "libxcb-icccm.so.4",
    "libxcb-keysyms.so.1",
    "libxcb-shape.so.0",
    "libxcb-xkb.so.1",
    "libxkbcommon-x11.so.0",
)
_XCB_PACKAGES = (
    "libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 libxkbcommon-x11-0 libgl1 libegl1"
)


def main(options: argparse.Namespace) -> int:
    """Open the window and run until it is quit."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    faulthandler.enable()
    problem = display_problem()
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201 - there is no window to say it in
        return 2
    try:
        application = Application(options)
    except GenaiError as error:
        return show_failure(error)
    return application.run()


def show_failure(error: GenaiError) -> int:
    """A window that says why there is no other one; also on stderr. Exit code 1."""
    from PySide6.QtWidgets import QApplication

    from genai_desktop.core.settings import Settings
    from genai_desktop.ui.failure_window import FailureWindow
    from genai_desktop.ui.theme import Theme

    print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - also for the one who started it in a terminal
    existing = QApplication.instance()
    qt = existing if isinstance(existing, QApplication) else QApplication([APP_ID])
    theme = Theme(qt, Settings())
    window = FailureWindow(theme, error.message, error.remedy)
    window.quit_requested.connect(qt.quit)
    window.show()
    with _signals_quit(qt):
        qt.exec()
    return 1


def build(argv: list[str] | None = None) -> Application:
    """The program in this process, for tests and automation (not yet running)."""
    from genai_desktop import cli

    return Application(cli.parse(argv or []))


def display_problem() -> str:
    """Why Qt would abort here, as one sentence with the command that helps; empty when it would not."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return ""
    if os.environ.get("WAYLAND_DISPLAY"):
        return ""
    if not os.environ.get("DISPLAY"):
        return (
            "There is no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set). "
            "Start it from a desktop session, or use the command line: genai-desktop --help"
        )
    import ctypes

    missing = []
    for name in _XCB_LIBRARIES:
        try:
            ctypes.CDLL(
                name
            )  # Qt loads them a moment later anyway; find_library would start a process for each
        except OSError:
            missing.append(name)
    if missing:
        return (
            f"Qt cannot open a window because system libraries are missing ({', '.join(missing)}). "
            f"Install them: sudo apt-get install -y {_XCB_PACKAGES}"
        )
    return ""


class Application:
    """The window, the services and their thread. `.window`, `.genai`, `.submit`, `.run`, `.quit`."""

    def __init__(self, options: argparse.Namespace) -> None:
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        from genai_desktop.library.paths import DataPaths
        from genai_desktop.library.settings import SettingsStore

        self._options = options
        # imports and widgets only allocate: looking for garbage among them delays the first paint
        gc.disable()
        self.paths = DataPaths.resolve(options.data_dir)
        self.paths.ensure()
        store = SettingsStore(self.paths.settings)
        settings = store.load()
        QApplication.setApplicationName("GenAI Desktop")
        QApplication.setDesktopFileName(APP_ID)
        QApplication.setQuitOnLastWindowClosed(False)
        existing = QApplication.instance()
        self.qt = existing if isinstance(existing, QApplication) else QApplication([APP_ID])
        self._owns_qt = existing is None
        self._exit_code = 0
        self._is_quitting = False
        self.window: Any = None
        self._is_secondary = not self._take_instance()
        if self._is_secondary:
            return
        self._install_hooks()

        from genai_desktop.bridge.facades import Facades
        from genai_desktop.bridge.service_thread import ServiceThread
        from genai_desktop.ui.main_window import MainWindow
        from genai_desktop.ui.theme import Theme

        self.thread = ServiceThread(self._open_services, self._attach)
        self.facades = Facades.create(self.thread, settings)
        self.theme = Theme(self.qt, settings)
        self.window = MainWindow(self.facades, self.theme)
        self.window.quit_requested.connect(self.quit)
        self._instance.message_received.connect(self._on_second_start)
        self.thread.finished.connect(self._on_services_ended)
        self.thread.open_failed.connect(self._on_open_failed)
        self._deadline = QTimer()
        self._deadline.setSingleShot(True)
        self._deadline.timeout.connect(self._on_deadline)
        if not ((options.minimized or settings.start_minimized) and self.window.has_tray()):
            self.window.show()
        self.window.set_data_folder(str(self.paths.root))
        if self.window.isVisible():
            self.window.first_painted.connect(self._instance.listen)
        else:
            QTimer.singleShot(0, self._instance.listen)
        QTimer.singleShot(0, gc.enable)
        # the services start after the first paint: a window that is there beats one that is complete
        QTimer.singleShot(0, self._start_services)

    # public -----------------------------------------------------------------------------------------------

    @property
    def genai(self) -> GenAI:
        """The services, once the thread has opened them."""
        return self.thread.genai

    def submit(self, coro: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine in the service thread."""
        return self.thread.submit(coro)

    def run(self) -> int:
        """Qt's loop until the end; then the last steps of the shutdown. The exit code."""
        if self._is_secondary:
            return 0 if self._instance.hand_over(sys.argv[1:]) else 1
        code = self.qt.exec()
        return self._finish(code)

    def quit(self) -> None:
        """Begin the end (idempotent, GUI thread): hide, refuse, close the services, then leave the loop."""
        if self._is_quitting:
            return
        self._is_quitting = True
        self.window.prepare_quit()
        self.facades.close()
        if not self.thread.isRunning():
            self.qt.exit(self._exit_code)
            return
        self._deadline.start(int((CLOSE_DEADLINE + 3.0) * 1000))
        self.thread.request_close(CLOSE_DEADLINE)

    # service thread ---------------------------------------------------------------------------------------

    async def _open_services(self) -> GenAI:
        from genai_desktop.bridge.qprocess import QProcessLauncher
        from genai_desktop.services.genai import GenAI

        return await GenAI.open(self.paths.root, launcher=QProcessLauncher(), offline=self._options.offline)

    def _attach(self, genai: GenAI) -> None:
        from genai_desktop.gateway.follower import follow_image_server

        self.facades.attach(genai)
        follow_image_server(genai)

    # GUI thread -------------------------------------------------------------------------------------------

    def _start_services(self) -> None:
        if not self._is_quitting:
            self.thread.start()

    def _take_instance(self) -> bool:
        from genai_desktop.bridge.single_instance import SingleInstance

        self._instance = SingleInstance(self.paths.root)
        return self._instance.acquire()

    def _install_hooks(self) -> None:
        """Errors in slots, threads and Qt reach a log and never vanish; signals end the program in order."""
        from genai_desktop.bridge.signals import UnixSignals

        sys.excepthook = _log_exception
        threading.excepthook = _log_thread_exception
        self._signals: UnixSignals | None = None
        if threading.current_thread() is threading.main_thread():
            self._signals = UnixSignals()
            self._signals.received.connect(self._on_signal)

    def _on_signal(self, _number: int) -> None:
        self.quit()

    def _on_second_start(self, _arguments: list[str]) -> None:
        self.window.bring_to_front()

    def _on_open_failed(self, error: Exception) -> None:
        self._exit_code = 1
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - also for the one at a terminal
        self.window.show_open_failure(error)

    def _on_services_ended(self) -> None:
        if self._is_quitting:
            self.qt.exit(self._exit_code)

    def _on_deadline(self) -> None:
        _log.error("the services did not end in time")
        self._exit_code = 1
        self.qt.exit(self._exit_code)

    def _finish(self, code: int) -> int:
        from PySide6.QtCore import QCoreApplication, QEvent

        self._deadline.stop()
        if not self._is_quitting:  # the loop was left by someone else (session end)
            self.facades.close()
            self.thread.request_close(CLOSE_DEADLINE)
        if not self.thread.wait(10_000):
            _log.error("the service thread hangs; its children are killed and the process ends now")
            from genai_desktop.engines.ledger import Ledger

            Ledger(self.paths.runtime).sweep()
            logging.shutdown()
            os._exit(1)
        self.thread.discard_unrun()
        # queued signals may still hold snapshots for widgets: deliver them before the widgets go
        QCoreApplication.sendPostedEvents(None, 0)
        self.window.dispose()
        self.window.deleteLater()
        QCoreApplication.sendPostedEvents(None, int(QEvent.Type.DeferredDelete))
        self.window = None
        if self._signals is not None:
            self._signals.close()
        self._instance.release()
        return code


@contextmanager
def _signals_quit(qt: QApplication) -> Iterator[None]:
    from genai_desktop.bridge.signals import UnixSignals

    signals = UnixSignals()
    signals.received.connect(qt.quit)
    try:
        yield
    finally:
        signals.close()


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("genai_desktop").critical("unhandled error", exc_info=(kind, error, trace))


def _log_thread_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_exception(args.exc_type, args.exc_value, args.exc_traceback)


def data_folder(argument: str | None) -> Path:
    """Where everything is kept, without opening it."""
    from genai_desktop.library.paths import DataPaths

    return DataPaths.resolve(argument).root
