"""What is said above and below the pages: the banner, the toast, and desktop notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QVBoxLayout, QWidget

    from genai_desktop.bridge.facade import Failure
    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.images import ImageResult
    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.core.recovery import Recovery
    from genai_desktop.ui.theme import Theme
    from genai_desktop.ui.widgets.strip import MessageArea
    from genai_desktop.ui.widgets.toast import Toast


class Announcer(QObject):
    """The banner is for what concerns no page in particular; the toast for what may be missed."""

    notification = Signal(str, str)  # title, text: while the window is not in front
    open_requested = Signal(str)
    quit_requested = Signal()

    def __init__(self, facades: Facades, theme: Theme, host: QWidget, place: QVBoxLayout) -> None:
        """The toast lies over `host`; the banner goes to the top of `place`."""
        super().__init__(host)
        self._facades, self._theme, self._host, self._place = facades, theme, host, place
        self._toast: Toast | None = None
        self._banner: MessageArea | None = None
        self._recovery_model = ""
        self._finished: set[str] = set()
        facades.jobs.jobs_changed.connect(self._on_jobs)
        facades.images.finished.connect(self._on_image_finished)
        facades.system.recovery_offered.connect(self._on_recovery)
        facades.settings.failed.connect(self._on_failure)
        facades.jobs.failed.connect(self._on_failure)

    @property
    def banner(self) -> MessageArea:
        """Messages above all pages; made when the first one comes."""
        if self._banner is None:
            from genai_desktop.ui.widgets.strip import MessageArea

            self._banner = MessageArea(self._theme)
            edge = self._theme.space.xl
            self._banner.setContentsMargins(edge, self._theme.space.m, edge, 0)
            self._place.insertWidget(0, self._banner)
        return self._banner

    @property
    def toast(self) -> Toast:
        if self._toast is None:
            from genai_desktop.ui.widgets.toast import Toast

            self._toast = Toast(self._theme, self._host)
        return self._toast

    @Slot(str, str, object)
    def announce(self, text: str, action: str = "", on_action: Callable[[], None] | None = None) -> None:
        """A sentence at the foot of the window, with an action such as Undo."""
        self.toast.announce(text, action, on_action)

    def show_open_failure(self, error: BaseException) -> None:
        """The services could not be opened: nothing will work until this is solved."""
        message = getattr(error, "message", "") or str(error)
        remedy = getattr(error, "remedy", "") or self.tr("Start the program again; the log says more.")
        quit_it = self.quit_requested.emit
        self.banner.show_message("open", "danger", message, remedy, action=self.tr("Quit"), on_action=quit_it)

    @Slot(object)
    def _on_recovery(self, recovery: Recovery) -> None:
        """The last run was cut off: say what was found, and offer to go on."""
        found: list[str] = []
        if recovery.interrupted_messages:
            found.append(self.tr("The last reply is there as far as it came."))
        if recovery.interrupted_images:
            found.append(self.tr("An unfinished picture can be started again."))
        if recovery.ended_children:
            found.append(self.tr("A server that was left over was ended."))
        action = self.tr("Load {name} again").format(name=recovery.model_name) if recovery.model_id else ""
        self._recovery_model = recovery.model_id
        text = self.tr("The last session ended unexpectedly.")
        self.banner.show_message(
            "recovery", "info", text, " ".join(found), action=action, on_action=self._on_recover
        )

    @Slot()
    def _on_recover(self) -> None:
        self._facades.chat.load_model(self._recovery_model)
        self.open_requested.emit("chat")

    @Slot(object)
    def _on_failure(self, failure: Failure) -> None:
        self.announce(f"{failure.message} {failure.remedy}".strip())

    @Slot(object)
    def _on_jobs(self, jobs: tuple[JobInfo, ...]) -> None:
        for job in jobs:
            if job.is_finished and job.id not in self._finished:
                self._finished.add(job.id)
                if job.kind != "image":
                    self._notify_about(job)

    def _notify_about(self, job: JobInfo) -> None:
        if job.state == "done":
            self.notify(self.tr("Finished"), job.title)
        elif job.state == "failed":
            self.notify(self.tr("Failed"), f"{job.title}. {job.error_message}")

    @Slot(object)
    def _on_image_finished(self, result: ImageResult) -> None:
        several = self.tr("{count} pictures are ready.").format(count=len(result.images))
        self.notify(
            self.tr("Finished"), several if len(result.images) > 1 else self.tr("The picture is ready.")
        )

    def notify(self, title: str, text: str) -> None:
        """On the desktop, unless the window is in front or notifications are off."""
        if self._facades.settings.current.notifications and not self._host.window().isActiveWindow():
            self.notification.emit(title, text)
