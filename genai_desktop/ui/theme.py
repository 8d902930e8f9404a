"""Colours, type and spacing, decided in resources/theme/tokens.toml; light and dark, switched live."""

from __future__ import annotations

import tomllib
import weakref
from functools import lru_cache
from string import Template
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import shiboken6
from PySide6.QtCore import QObject, QSize, Qt, Signal, Slot
from PySide6.QtGui import QAction, QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPalette, QPixmap
from PySide6.QtWidgets import QAbstractButton

from genai_desktop.ui.assets import asset
from genai_desktop.ui.icons import render, tinted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QApplication

    from genai_desktop.core.settings import Settings

Mode = Literal["system", "light", "dark"]
_IconKey = tuple[str, str, int, int]  # name, colour token, size, gap
FontRole = Literal["title", "section", "body", "strong", "meta", "mono"]


class Space(NamedTuple):
    """The only distances there are, in pixels."""

    xs: int
    s: int
    m: int
    l: int  # noqa: E741 - the third size of shirts
    xl: int


@lru_cache(maxsize=1)
def tokens() -> Mapping[str, Any]:
    """The whole token file."""
    return tomllib.loads(asset("theme", "tokens.toml").read_text(encoding="utf-8"))


class Theme(QObject):
    """The look of the whole window. Widgets get it in their constructor and repaint on `changed`."""

    changed = Signal()  # colours or text scale

    def __init__(self, app: QApplication | None, settings: Settings, parent: QObject | None = None) -> None:
        """Dresses `app` at once and follows the system; None only measures. Build before the first window."""
        super().__init__(parent)
        self._mode: Mode = settings.theme
        self._scale = _clamped(settings.text_scale)
        self.reduced_motion = settings.reduced_motion
        self._app = app
        self._icons: dict[_IconKey, QIcon] = {}
        self._dressed: weakref.WeakKeyDictionary[QObject, _IconKey] = weakref.WeakKeyDictionary()
        self.space = Space(**tokens()["space"])
        self.radius: int = tokens()["shape"]["radius"]
        if app is not None:
            if app.style().name() != "fusion":  # making a second one takes as long as painting the window
                app.setStyle("Fusion")
            self._ask_system_for(self._mode)
            QGuiApplication.styleHints().colorSchemeChanged.connect(self._on_scheme_changed)
        self._name = self._wanted()
        self._colors: Mapping[str, str] = tokens()[self._name]
        self._dress_application()

    # -- what it says ---------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """ "light" or "dark": what is shown now."""
        return self._name

    @property
    def mode(self) -> Mode:
        return self._mode

    @property
    def text_scale(self) -> int:
        return self._scale

    def hex(self, token: str) -> str:
        """A colour as #RRGGBB."""
        return self._colors[token]

    def color(self, token: str, alpha: float = 1.0) -> QColor:
        """A colour; alpha 0..1."""
        color = QColor(self._colors[token])
        if alpha < 1.0:
            color.setAlphaF(alpha)
        return color

    def px(self, pixels: float) -> int:
        """A length that grows with the text scale."""
        return round(pixels * self._scale / 100)

    def font(self, role: FontRole = "body") -> QFont:
        """The font of a role, scaled; numbers in it are tabular."""
        if role == "mono":
            font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        else:
            font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
        size: int = tokens()["type"]["body" if role == "strong" else role]
        font.setPixelSize(self.px(size))
        if role in ("title", "section", "strong"):
            font.setWeight(QFont.Weight.DemiBold)
        font.setFeature(QFont.Tag("tnum"), 1)
        return font

    # -- icons ----------------------------------------------------------------------------------------------

    def tint(self, icon_name: str, color: str = "text", size: int = 20, gap: int = 0) -> QIcon:
        """An icon in a colour of the theme, scaled with the text; ask again after `changed`, or `dress`."""
        key = (icon_name, color, size, gap)
        if key not in self._icons:
            colors = (self.color(color), self.color("disabled"))
            self._icons[key] = tinted(icon_name, colors, self.px(size), self._ratios(), gap)
        return self._icons[key]

    def pixmap(self, icon_name: str, color: str = "text", size: int = 20) -> QPixmap:
        """The same as a pixmap for labels and painters."""
        return render(icon_name, self.hex(color), self.px(size), self._ratios()[-1])

    def dress(
        self,
        what: QAbstractButton | QAction,
        icon_name: str,
        color: str = "text",
        size: int = 20,
        gap: int = 0,
    ) -> None:
        """Give a button or an action an icon that follows the theme; `gap` keeps it off the text."""
        self._dressed[what] = (icon_name, color, size, gap)
        self._put_icon(what, (icon_name, color, size, gap))

    def _put_icon(self, what: QAbstractButton | QAction, key: _IconKey) -> None:
        what.setIcon(self.tint(*key))
        if not isinstance(what, QAction):
            _, _, size, gap = key
            what.setIconSize(QSize(self.px(size) + gap, self.px(size)))

    @staticmethod
    def _ratios() -> tuple[float, ...]:
        app = QGuiApplication.instance()
        ratio = app.devicePixelRatio() if isinstance(app, QGuiApplication) else 1.0
        return (1.0,) if ratio == 1.0 else (1.0, ratio)

    # -- switching ------------------------------------------------------------------------------------------

    def set_mode(self, mode: Mode) -> None:
        """Follow the system, or stay light or dark."""
        if mode == self._mode:
            return
        self._mode = mode
        if self._app is not None:
            self._ask_system_for(mode)
        self._refresh()

    def set_text_scale(self, percent: int) -> None:
        """100..150."""
        if _clamped(percent) == self._scale:
            return
        self._scale = _clamped(percent)
        self._refresh(force=True)

    def retire(self) -> None:
        """Follow nothing any more; another theme takes over the application."""
        if self._app is not None:
            QGuiApplication.styleHints().colorSchemeChanged.disconnect(self._on_scheme_changed)
            self._app = None
        self.deleteLater()

    @Slot()
    def _on_scheme_changed(self) -> None:
        self._refresh()

    def _refresh(self, *, force: bool = False) -> None:
        wanted = self._wanted()
        if wanted == self._name and not force:
            return
        self._name = wanted
        self._colors = tokens()[wanted]
        self._icons.clear()
        if self._app is not None:
            self._dress_application()
        for dressed, key in tuple(self._dressed.items()):
            if shiboken6.isValid(dressed) and isinstance(dressed, QAbstractButton | QAction):
                self._put_icon(dressed, key)
        self.changed.emit()

    def _wanted(self) -> str:
        if self._mode != "system":
            return self._mode
        if not isinstance(QGuiApplication.instance(), QGuiApplication):
            return "light"
        return "dark" if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark else "light"

    @staticmethod
    def _ask_system_for(mode: Mode) -> None:
        """So that the frame the system draws matches."""
        schemes = {"light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}
        QGuiApplication.styleHints().setColorScheme(schemes.get(mode, Qt.ColorScheme.Unknown))

    def _dress_application(self) -> None:
        if self._app is None:
            return
        self._app.setPalette(self.palette())
        font = self.font("body")
        if self._app.font() != font:  # each of these dresses every widget there is once more
            self._app.setFont(font)
        self._app.setStyleSheet(self.style_sheet())

    # -- what Qt needs --------------------------------------------------------------------------------------

    def palette(self) -> QPalette:
        """For everything the style sheet does not reach."""
        palette = QPalette()
        role = QPalette.ColorRole
        for where, token in (
            (role.Window, "window"),
            (role.WindowText, "text"),
            (role.Base, "field"),
            (role.AlternateBase, "surface"),
            (role.Text, "text"),
            (role.Button, "raised"),
            (role.ButtonText, "text"),
            (role.BrightText, "danger"),
            (role.Highlight, "accent"),
            (role.HighlightedText, "on_accent"),
            (role.Link, "accent"),
            (role.LinkVisited, "accent"),
            (role.ToolTipBase, "tooltip"),
            (role.ToolTipText, "text"),
            (role.PlaceholderText, "muted"),
            (role.Light, "raised"),
            (role.Midlight, "hover"),
            (role.Mid, "border"),
            (role.Dark, "border"),
            (role.Shadow, "window"),
            (role.Accent, "accent"),
        ):
            palette.setColor(where, self.color(token))
        for where in (role.WindowText, role.Text, role.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, where, self.color("disabled"))
        palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, self.color("border"))
        return palette

    def style_sheet(self) -> str:
        """app.qss with every token filled in."""
        values: dict[str, str] = dict(self._colors)
        for role, size in tokens()["type"].items():
            values[f"size_{role}"] = f"{self.px(size)}px"
        for name, pixels in tokens()["space"].items():
            values[f"space_{name}"] = f"{pixels}px"
        for name, pixels in (("line_small", 17), ("line", 20), ("line_large", 22)):
            values[name] = f"{self.px(pixels)}px"
        values["radius"] = f"{self.radius}px"
        values["radius_small"] = f"{tokens()['shape']['radius_small']}px"
        values["mono_family"] = self.font("mono").family()
        values["images"] = asset("theme", self._name).as_posix()
        return Template(asset("theme", "app.qss").read_text(encoding="utf-8")).substitute(values)


def _clamped(percent: int) -> int:
    return max(100, min(150, int(percent)))
