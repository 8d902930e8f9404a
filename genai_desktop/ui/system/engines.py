"""The programs that do the work: which build, whether it was proven here, and how to use another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from genai_desktop.ui.widgets import format as fmt
from genai_desktop.ui.widgets.buttons import Button, IconButton
from genai_desktop.ui.widgets.card import Card, Icon
from genai_desktop.ui.widgets.labels import ElidedLabel, label
from genai_desktop.ui.widgets.layouts import WrapRow, column, line, row
from genai_desktop.ui.widgets.meter import BusyLine
from genai_desktop.ui.widgets.pill import Pill

if TYPE_CHECKING:
    from genai_desktop.core.builds import EngineBuild, EngineTest
    from genai_desktop.ui.theme import Theme

_TONES = {"in-use": "on", "available": "info", "refused": "danger", "missing": "warn", "untested": "off"}
_PROGRAMS = {"llama.cpp": "llama-server", "stable-diffusion.cpp": "sd-cli"}


class TestLine(QWidget):
    """One step of the test: passed or not, how long it took, what came out."""

    def __init__(self, theme: Theme, test: EngineTest) -> None:
        super().__init__()
        inside = row(self, space=theme.space.s)
        inside.addWidget(
            Icon(theme, "check" if test.passed else "close", "ok" if test.passed else "danger", 16)
        )
        name = label(test.name, "body")
        name.setMinimumWidth(theme.px(150))
        inside.addWidget(name)
        seconds = label(fmt.duration(test.seconds), "meta")
        seconds.setMinimumWidth(theme.px(48))
        seconds.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        inside.addWidget(seconds)
        inside.addSpacing(theme.space.s)
        inside.addWidget(ElidedLabel(test.detail, "meta"), 1)
        outcome = self.tr("passed") if test.passed else self.tr("failed")
        self.setAccessibleName(f"{test.name}: {outcome}. {test.detail}")


class BuildRow(QWidget):
    """One build of one engine with its actions; the steps of its test unfold below."""

    test_requested = Signal(str, str)  # engine, build
    use_requested = Signal(str, str)  # engine, "embedded" or a path

    def __init__(self, theme: Theme, build: EngineBuild) -> None:
        super().__init__()
        self._theme, self.build = theme, build
        self._is_busy = False
        space = theme.space
        whole = column(self, space=space.s, margins=(0, space.s, 0, space.s))
        whole.addWidget(WrapRow(self._build_names(), self._build_actions(), theme.px(620)))
        self.reason = label(
            build.reason, "body", wrap=True, tone="danger" if build.state == "refused" else ""
        )
        if not build.reason:
            self.reason.hide()
        whole.addWidget(self.reason)
        self.busy = BusyLine(theme, self.tr("Testing: the engine does real work with a tiny model"))
        self.busy.hide()
        whole.addWidget(self.busy)
        self.tests = QWidget()
        steps = column(self.tests, space=space.xs, margins=(space.s, 0, 0, 0))
        for test in build.tests:
            steps.addWidget(TestLine(theme, test))
        if build.state != "refused" or not build.tests:
            self.tests.hide()
        whole.addWidget(self.tests)
        self.setAccessibleName(f"{build.engine} {build.variant} {build.build}: {self._state()}")

    def _build_names(self) -> QWidget:
        theme, build = self._theme, self.build
        part = QWidget()
        inside = row(part, space=theme.space.m)
        names = column(space=2)
        names.addWidget(ElidedLabel(build.engine, "strong"))
        version = " · ".join(text for text in (self._variant(), build.build) if text)
        names.addWidget(ElidedLabel(version, "meta"))
        inside.addLayout(names, 3)
        self.backends = ElidedLabel(", ".join(build.backends) or fmt.UNKNOWN, "body")
        self.backends.setToolTip(self.tr("Devices the engine itself lists"))
        inside.addWidget(self.backends, 2)
        self.state = Pill(theme, self._state(), _TONES[build.state])
        inside.addWidget(_cell(self.state, theme.px(104)))
        return part

    def _build_actions(self) -> QWidget:
        theme, build = self._theme, self.build
        part = QWidget()
        inside = row(part, space=theme.space.m)
        self.details = Button(theme, self._summary(), kind="ghost", icon="chevron-down")
        self.details.setEnabled(bool(build.tests))
        self.details.clicked.connect(self._on_details)
        inside.addWidget(_cell(self.details, theme.px(132)))
        self.test = Button(theme, self.tr("Test again") if build.tests else self.tr("Test"), icon="refresh")
        self.test.setObjectName(f"system.engines.{build.engine}.{build.variant}.test")
        self.test.clicked.connect(self._on_test)
        inside.addWidget(_cell(self.test, theme.px(112)))
        inside.addWidget(self._menu_button())
        return part

    def set_busy(self, busy: bool) -> None:
        if busy != self._is_busy:
            self.busy.setVisible(busy)
        self._is_busy = busy
        self.test.setEnabled(not busy)

    def _menu_button(self) -> IconButton:
        more = IconButton(self._theme, "more", self.tr("More for {engine}").format(engine=self.build.engine))
        more.setObjectName(f"system.engines.{self.build.engine}.{self.build.variant}.more")
        menu = QMenu(more)
        self.own = menu.addAction(self.tr("Use a binary of mine…"))
        self.own.triggered.connect(self._on_own)
        if self.build.state != "in-use" and self.build.variant != "own":
            self.switch = menu.addAction(self.tr("Use this build"))
            self.switch.triggered.connect(self._on_switch)
        elif self.build.variant != "embedded":
            self.switch = menu.addAction(self.tr("Switch to embedded"))
            self.switch.triggered.connect(self._on_embedded)
        more.setMenu(menu)
        more.setPopupMode(IconButton.ToolButtonPopupMode.InstantPopup)
        return more

    def _variant(self) -> str:
        return {"embedded": self.tr("embedded"), "own": self.tr("binary of yours")}.get(
            self.build.variant, self.build.variant.upper()
        )

    def _state(self) -> str:
        return {
            "in-use": self.tr("in use"),
            "available": self.tr("available"),
            "refused": self.tr("refused"),
            "missing": self.tr("missing"),
            "untested": self.tr("not tested"),
        }[self.build.state]

    def _summary(self) -> str:
        tests = self.build.tests
        if not tests:
            return self.tr("No test yet")
        passed = sum(test.passed for test in tests)
        return self.tr("{passed} of {count} passed").format(passed=passed, count=len(tests))

    @Slot()
    def _on_details(self) -> None:
        self.tests.setVisible(not self.tests.isVisible())
        self.details.set_icon("chevron-up" if self.tests.isVisible() else "chevron-down")

    @Slot()
    def _on_test(self) -> None:
        self.test_requested.emit(
            self.build.engine, self.build.variant if self.build.state != "in-use" else ""
        )

    @Slot()
    def _on_own(self) -> None:
        program = _PROGRAMS[self.build.engine]
        path, _ = QFileDialog.getOpenFileName(self, self.tr("Choose {program}").format(program=program))
        if path:
            self.use_requested.emit(self.build.engine, path)

    @Slot()
    def _on_switch(self) -> None:
        build = self.build
        self.use_requested.emit(build.engine, build.variant if build.variant == "embedded" else build.path)

    @Slot()
    def _on_embedded(self) -> None:
        self.use_requested.emit(self.build.engine, "embedded")


class EnginesCard(Card):
    """All builds. Busy until the first list."""

    test_requested = Signal(str, str)
    use_requested = Signal(str, str)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "", name="system.engines", padding=theme.space.l)
        self.setAccessibleName(self.tr("Engines"))
        self._theme = theme
        self._busy: set[str] = set()
        self.rows: list[BuildRow] = []
        self._lines: list[QWidget] = []
        self.waiting = BusyLine(theme, self.tr("Looking for engines"))
        self.nothing = label(
            self.tr("No engine was found. Install the extra packages, or use a binary of yours."), wrap=True
        )
        self.nothing.hide()
        self.body.setSpacing(0)
        self.body.addWidget(self.waiting)
        self.body.addWidget(self.nothing)

    def show_builds(self, builds: tuple[EngineBuild, ...]) -> None:
        self.waiting.hide()
        self.nothing.setVisible(not builds)
        open_rows = {(r.build.engine, r.build.variant) for r in self.rows if r.tests.isVisible()}
        for old in (*self.rows, *self._lines):
            self.body.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.rows, self._lines = [], []
        for build in builds:
            if self.rows:
                self._lines.append(line())
                self.body.addWidget(self._lines[-1])
            shown = BuildRow(self._theme, build)
            shown.test_requested.connect(self.test_requested)
            shown.use_requested.connect(self.use_requested)
            self.rows.append(shown)
            self.body.addWidget(shown)
            shown.set_busy(build.engine in self._busy and build.state in ("in-use", "untested"))
            if (build.engine, build.variant) in open_rows and build.tests:
                shown.tests.show()

    @Slot(str, bool)
    def set_busy(self, engine: str, busy: bool) -> None:
        """A test of this engine runs, or ended."""
        (self._busy.add if busy else self._busy.discard)(engine)
        for shown in self.rows:
            if shown.build.engine == engine and shown.build.state in ("in-use", "untested", "refused"):
                shown.set_busy(busy)


def _cell(widget: QWidget, width: int) -> QWidget:
    """A column of its own width, so that rows line up."""
    cell = QWidget()
    inside = row(cell, space=0)
    inside.addWidget(widget)
    inside.addStretch(1)
    cell.setMinimumWidth(width)
    return cell
