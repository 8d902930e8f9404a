"""What an engine child owes the machine it runs on: to die with its parent, and to leave the cores alone."""

from __future__ import annotations

import os
import sys

PARENT_PID_VARIABLE = "GENAI_DESKTOP_PARENT_PID"

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def bind_to_parent() -> bool:
    """Ask Linux to kill this process when its parent ends; return whether the parent is still the expected
    one.

    The launcher binds its children too, but not every launcher can. The parent may have died between the fork
    and the request, which then never fires: hence the comparison afterwards. Without the variable nothing
    happens.
    """
    expected = os.environ.get(PARENT_PID_VARIABLE, "")
    if not expected.isdigit() or not sys.platform.startswith("linux"):
        return True
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    return os.getppid() == int(expected)


def yield_cores() -> None:
    """Let threads that wait for each other sleep. Call it before the engine's library is loaded.

    OpenMP's default is to spin. On a machine with nothing else to do that is a little faster; where a window
    or a second engine wants a core too, the one thread everybody waits for does not get one: on two busy
    cores a small model made 4 tokens a second instead of 40.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
