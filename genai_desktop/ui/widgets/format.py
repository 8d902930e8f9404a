"""Numbers as people read them: GiB with one decimal, `1 m 20 s`, `42.3 tok/s`, `118 MB/s`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale

if TYPE_CHECKING:
    from genai_desktop.core.jobs import Progress

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
UNKNOWN = "\u2013"


def _tr(text: str) -> str:
    return QCoreApplication.translate("format", text)


def size(count: float | None) -> str:
    """Bytes: GiB with one decimal, whole MiB or KiB below a tenth of a GiB; a dash when nobody knows."""
    if count is None:
        return UNKNOWN
    if count >= 1000 * GIB:
        return f"{count / TIB:.1f} TiB"
    if count >= GIB / 10:
        return f"{count / GIB:.1f} GiB"
    if count >= MIB:
        return f"{count / MIB:.0f} MiB"
    if count >= KIB:
        return f"{count / KIB:.0f} KiB"
    return f"{count:.0f} B"


def used_of(used: float | None, total: float | None) -> str:
    """`5.2 of 16.0 GiB`; only what is known; a dash when nothing is."""
    if not total:
        return size(used) if used else UNKNOWN
    if used is None:
        return size(total)
    if total >= GIB / 10:
        return _tr("{used} of {total}").format(used=f"{used / GIB:.1f}", total=size(total))
    return _tr("{used} of {total}").format(used=size(used), total=size(total))


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `1 m 20 s`, `2 h 5 m`, `3 d 4 h`."""
    if seconds is None or seconds < 0:
        return UNKNOWN
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 10 and abs(seconds - round(seconds)) > 0.05:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, secs = divmod(rest, 60)
    for high, high_unit, low, low_unit in (
        (days, "d", hours, "h"),
        (hours, "h", minutes, "m"),
        (minutes, "m", secs, "s"),
    ):
        if high:
            return f"{high} {high_unit} {low} {low_unit}" if low else f"{high} {high_unit}"
    return f"{secs} s"


def token_rate(per_second: float | None) -> str:
    """`42.3 tok/s`; empty when there is nothing to say."""
    return f"{per_second:.1f} tok/s" if per_second else ""


def speed(bytes_per_second: float | None) -> str:
    """`118 MB/s`, decimal units as networks count; empty when unknown."""
    if not bytes_per_second or bytes_per_second < 0:
        return ""
    if bytes_per_second >= 1e9:
        return f"{bytes_per_second / 1e9:.1f} GB/s"
    if bytes_per_second >= 1e7:
        return f"{bytes_per_second / 1e6:.0f} MB/s"
    if bytes_per_second >= 1e6:
        return f"{bytes_per_second / 1e6:.1f} MB/s"
    return f"{bytes_per_second / 1e3:.0f} kB/s"


def percent(fraction: float | None) -> str:
    """0..1 as `37 %`."""
    return UNKNOWN if fraction is None else f"{fraction * 100:.0f} %"


def parameters(count: int | None) -> str:
    """`7.6B`, `350M`."""
    if not count:
        return UNKNOWN
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= limit:
            value = count / limit
            return f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}".removesuffix(".0") + unit
    return str(count)


def context(tokens: int | None) -> str:
    """A context length: `128k` where it is whole, else `40,000`."""
    if not tokens:
        return UNKNOWN
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"


def clock(epoch: float) -> str:
    """Local time of day, `14:03:59`."""
    return time.strftime("%H:%M:%S", time.localtime(epoch))


def when(epoch: float | None) -> str:
    """`today 14:03`, `yesterday 09:12`, else the date as the system writes it."""
    if not epoch:
        return UNKNOWN
    moment = QDateTime.fromSecsSinceEpoch(int(epoch))
    days = moment.date().daysTo(QDateTime.currentDateTime().date())
    hour = moment.time().toString("HH:mm")
    if days == 0:
        return _tr("today {time}").format(time=hour)
    if days == 1:
        return _tr("yesterday {time}").format(time=hour)
    return QLocale().toString(moment.date(), QLocale.FormatType.ShortFormat)


def amount(progress: Progress) -> str:
    """How much is done: `1.2 of 4.1 GiB`, `step 7 of 20`; empty while there is nothing to tell."""
    if progress.unit == "bytes":
        return used_of(progress.done, progress.total) if progress.total or progress.done else ""
    if progress.unit == "percent":
        return percent(progress.fraction) if progress.total else ""
    if progress.total:
        pattern = _tr("step {done} of {total}") if progress.unit == "steps" else _tr("{done} of {total}")
        return pattern.format(done=f"{progress.done:.0f}", total=f"{progress.total:.0f}")
    return ""


def time_left(eta: float | None) -> str:
    """`25 s left`; empty when nobody knows."""
    return "" if eta is None else _tr("{time} left").format(time=duration(max(0.0, round(eta))))


def progress_line(progress: Progress) -> str:
    """Everything known about a job on one line, parts divided by a middle dot."""
    parts = [progress.phase, amount(progress)]
    if progress.unit == "bytes":
        parts.append(speed(progress.speed))
    parts.append(time_left(progress.eta))
    return " · ".join(part for part in parts if part)
