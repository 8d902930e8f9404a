"""The line at the foot: what the LLM does, what the painter does, how full the memory is, and the jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QFrame, QPushButton, QSizePolicy, QWidget

from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import row
from genai_desktop.ui.widgets.meter import MeterBar, Segment
from genai_desktop.ui.widgets.pill import SERVER_TONES, draw_mark

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from genai_desktop.bridge.facades import Facades
    from genai_desktop.core.chat import ChatDelta
    from genai_desktop.core.images import ImageJob, ImageProgress
    from genai_desktop.core.jobs import JobInfo
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.core.telemetry import TelemetrySample
    from genai_desktop.ui.theme import Theme


_PILL_EDGES = 36  # mark, gaps and borders around the words


class StatusPill(QPushButton):
    """A mark and a line of text; a click goes where it comes from."""

    def __init__(self, theme: Theme, name: str, subject: str, max_width: int) -> None:
        super().__init__()
        self._theme, self._subject, self._max_width = theme, subject, max_width
        self._tone, self._words = "off", ""
        self._room = 0  # what the layout gave, 0 before it did
        self.setObjectName(name)
        self.setProperty("kind", "status")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setIconSize(QSize(10, 10))
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.ensurePolished()
        theme.changed.connect(self._render)

    def set_state(self, text: str, tone: str) -> None:
        if (text, tone) == (self._words, self._tone) and self.text():
            return
        self._words, self._tone = text, tone
        self._render()

    @property
    def words(self) -> str:
        return self._words

    @property
    def tone(self) -> str:
        return self._tone

    def sizeHint(self) -> QSize:
        """Room for all the words, up to a limit, whatever is shown of them now."""
        words = min(self.fontMetrics().horizontalAdvance(self._words) + 2, self._theme.px(self._max_width))
        return QSize(words + _PILL_EDGES, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(96, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._room = event.size().width()
        self._fit()

    def _fit(self) -> None:
        """As many words as there is room for."""
        room = (self._room or self.sizeHint().width()) - _PILL_EDGES
        shown = self.fontMetrics().elidedText(self._words, Qt.TextElideMode.ElideMiddle, room)
        if shown != self.text():
            self.setText(shown)
        self.setToolTip(self._words if shown != self._words else "")

    @Slot()
    def _render(self) -> None:
        self._fit()
        self.updateGeometry()
        self.setAccessibleName(f"{self._subject}: {self._words}")
        ratio = self.devicePixelRatioF()
        pixmap = QPixmap(round(10 * ratio), round(10 * ratio))
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        draw_mark(painter, self._theme, QRectF(0, 0, 10, 10), self._tone)
        painter.end()
        self.setIcon(QIcon(pixmap))


class StatusMeter(QWidget):
    """A name, a short bar and the numbers."""

    def __init__(self, theme: Theme, name: str, caption: str, long_name: str) -> None:
        super().__init__()
        self._long_name = long_name
        self.setObjectName(name)
        inside = row(self, space=theme.space.s)
        self.bar = MeterBar(theme, height=4)
        self.bar.setFixedWidth(56)
        self.numbers = label("", "meta")
        inside.addWidget(label(caption, "meta"))
        inside.addWidget(self.bar)
        inside.addWidget(self.numbers)

    def set_parts(self, used: int, total: int, parts: list[Segment]) -> None:
        self.bar.set_segments(parts, float(total))
        text = fmt.used_of(used, total)
        self.numbers.setText(text)
        self.setToolTip(f"{self._long_name}: {text}")
        self.setAccessibleName(f"{self._long_name}: {text}")


class StatusBar(QFrame):
    """Only renders what it is told; pressing a part asks for the page it belongs to."""

    open_requested = Signal(str)
    jobs_requested = Signal()

    def __init__(self, facades: Facades, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "statusbar")
        self.setAccessibleName(self.tr("Status"))
        self._llm: ServerInfo | None = None
        self._rate = 0.0
        self._handoff: dict[str, object] = {}
        self._image: ImageProgress | None = None
        self._image_jobs: tuple[ImageJob, ...] = ()
        space = theme.space
        inside = row(self, space=space.s, margins=(8, 4, 8, 4))
        self.llm = StatusPill(theme, "status.llm", self.tr("LLM"), 300)
        self.llm.clicked.connect(self._on_llm_clicked)
        self.image = StatusPill(theme, "status.image", self.tr("Images"), 200)
        self.image.clicked.connect(self._on_image_clicked)
        self.vram = StatusMeter(theme, "status.vram", "VRAM", self.tr("Graphics memory"))
        self.vram.hide()
        self.ram = StatusMeter(theme, "status.ram", "RAM", self.tr("Memory"))
        self.jobs = QPushButton()
        self.jobs.setObjectName("status.jobs")
        self.jobs.setProperty("kind", "status")
        self.jobs.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        theme.dress(self.jobs, "list", "muted", 14, 4)
        self.jobs.clicked.connect(self.jobs_requested)
        inside.addWidget(self.llm)
        inside.addWidget(self.image)
        inside.addStretch(1)
        inside.addWidget(self.vram)
        inside.addSpacing(space.s)
        inside.addWidget(self.ram)
        inside.addSpacing(space.xs)
        inside.addWidget(self.jobs)
        facades.system.server_changed.connect(self.show_server)
        facades.system.sample_taken.connect(self.show_sample)
        facades.chat.delta_received.connect(self._on_delta)
        facades.images.progress_changed.connect(self._on_image_progress)
        facades.images.jobs_changed.connect(self._on_image_jobs)
        facades.images.handoff_changed.connect(self._on_handoff)
        facades.jobs.jobs_changed.connect(self.show_jobs)
        self._render_llm()
        self._render_image()
        self.show_jobs(())

    # -- LLM ------------------------------------------------------------------------------------------------

    @Slot(object)
    def show_server(self, info: ServerInfo) -> None:
        if info.name != "llama":
            return
        if self._llm is not None and info.generation != self._llm.generation:
            self._rate = 0.0
        self._llm = info
        self._render_llm()

    @Slot(object)
    def _on_delta(self, delta: ChatDelta) -> None:
        if delta.stats is not None and delta.stats.tokens_per_second:
            self._rate = delta.stats.tokens_per_second
            self._render_llm()

    @Slot(object)
    def _on_handoff(self, state: dict[str, object]) -> None:
        self._handoff = state
        self._render_llm()

    def _render_llm(self) -> None:
        info = self._llm
        if self._handoff.get("suspended"):
            eta = self._handoff.get("eta")
            text = self.tr("LLM stepped aside")
            if isinstance(eta, int | float) and eta > 0:
                text += " · " + self.tr("back in about {time}").format(time=fmt.duration(round(eta)))
            self.llm.set_state(text, "busy")
            return
        if info is None or info.status == "stopped":
            self.llm.set_state(self.tr("No model loaded"), "off")
            return
        parts = [info.model_name or info.model_id or self.tr("LLM"), self._word(info)]
        if info.status == "running" and self._rate:
            parts.append(fmt.token_rate(self._rate))
        self.llm.set_state(" · ".join(parts), SERVER_TONES[info.status])

    def _word(self, info: ServerInfo) -> str:
        if info.status == "starting" and info.load_progress:
            return self.tr("loading {percent}").format(percent=fmt.percent(info.load_progress))
        words = {
            "starting": self.tr("loading"),
            "running": self.tr("replying") if info.is_busy else self.tr("ready"),
            "stopping": self.tr("stopping"),
            "crashed": self.tr("crashed"),
        }
        return words.get(info.status, info.status)

    # -- images ---------------------------------------------------------------------------------------------

    @Slot(object)
    def _on_image_progress(self, progress: ImageProgress) -> None:
        self._image = progress
        self._render_image()

    @Slot(object)
    def _on_image_jobs(self, jobs: tuple[ImageJob, ...]) -> None:
        self._image_jobs = jobs
        if not any(job.state == "running" for job in jobs):
            self._image = None
        self._render_image()

    def _render_image(self) -> None:
        waiting = sum(job.state == "queued" for job in self._image_jobs)
        parts: list[str] = []
        if self._image is not None and self._image.stage != "done":
            parts.append(self._stage(self._image))
            if self._image.eta is not None:
                parts.append(fmt.time_left(self._image.eta))
        if waiting:
            parts.append(self.tr("queue {count}").format(count=waiting))
        if parts:
            self.image.set_state(self.tr("Image") + " · " + " · ".join(parts), "busy")
        else:
            self.image.set_state(self.tr("Images idle"), "off")

    def _stage(self, progress: ImageProgress) -> str:
        if progress.stage == "diffusion" and progress.steps:
            return self.tr("step {step} of {steps}").format(step=progress.step, steps=progress.steps)
        words = {
            "queued": self.tr("waiting"),
            "suspending": self.tr("making room"),
            "loading": self.tr("loading"),
            "diffusion": self.tr("painting"),
            "decoding": self.tr("decoding"),
            "saving": self.tr("saving"),
            "resuming": self.tr("bringing the LLM back"),
        }
        return words.get(progress.stage, progress.stage)

    # -- memory and jobs ------------------------------------------------------------------------------------

    @Slot(object)
    def show_sample(self, sample: TelemetrySample) -> None:
        ours = dict(sample.ram_ours)
        parts = [Segment(name, ours.get(name, 0), name_token) for name, name_token in _OURS]
        rest = max(0, sample.ram_used - sum(int(part.value) for part in parts))
        self.ram.set_parts(sample.ram_used, sample.ram_total, [Segment("", rest, "rest"), *parts])
        gpus = [gpu for gpu in sample.gpus if gpu.present and gpu.vram_total and gpu.vram_used is not None]
        self.vram.setVisible(bool(gpus))
        if gpus:
            used = sum(gpu.vram_used or 0 for gpu in gpus)
            total = sum(gpu.vram_total or 0 for gpu in gpus)
            mine = min(used, sum(gpu.vram_ours for gpu in gpus))
            self.vram.set_parts(used, total, [Segment("", used - mine, "rest"), Segment("", mine, "vram")])

    @Slot(object)
    def show_jobs(self, jobs: tuple[JobInfo, ...]) -> None:
        running = sum(not job.is_finished for job in jobs)
        text = self.tr("Jobs {count}").format(count=running) if running else self.tr("No jobs")
        self.jobs.setText(text)
        self.jobs.setAccessibleName(text)

    @Slot()
    def _on_llm_clicked(self) -> None:
        is_broken = self._llm is not None and self._llm.status == "crashed"
        self.open_requested.emit("system" if is_broken else "chat")

    @Slot()
    def _on_image_clicked(self) -> None:
        self.open_requested.emit("images")


_OURS = (("llama", "llm"), ("diffusion", "diffusion"))
