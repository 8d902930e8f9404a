"""Fixtures of the window's tests: the theme, and facades that record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from genai_desktop.core.settings import Settings
from tests.ui.fakes import FakeFacades

if TYPE_CHECKING:
    from genai_desktop.ui.theme import Theme


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    """The dark theme on the application.

    The style sheet stays: taking it off while closed windows wait for their deletion crashes Qt 6.11.
    """
    from genai_desktop.ui.theme import Theme

    made = Theme(qapp, Settings(theme="dark", reduced_motion=True))
    yield made
    made.retire()
    # closed windows go now: the next theme would dress them all again
    QCoreApplication.sendPostedEvents(None, int(QEvent.Type.DeferredDelete))


@pytest.fixture
def facades(qapp: QApplication) -> FakeFacades:
    """First run is over; everything else as it comes."""
    return FakeFacades(Settings(onboarding_done=True, theme="dark", reduced_motion=True))
