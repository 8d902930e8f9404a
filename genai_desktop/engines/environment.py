"""The environment a child process gets: ours, without what would steer it or betray a secret."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

PARENT_PID = "GENAI_DESKTOP_PARENT_PID"
INSTANCE_TOKEN = "GENAI_DESKTOP_INSTANCE"  # noqa: S105 - the name of a variable

# llama-server reads every LLAMA_ARG_* variable, in front of which only its command line goes.
_STEERING = re.compile(r"LLAMA_|_MEIPASS|_PYI_|PYINSTALLER_", re.IGNORECASE)
_SECRET = re.compile(
    r"(^|_)(TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_KEY|PRIVATE_KEY|CREDENTIALS?)(_|$)",
    re.IGNORECASE,
)
# A frozen program sets these to its own libraries and keeps the person's value under NAME_ORIG.
_LOADER_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "LIBPATH")


def clean_environment(
    extra: Mapping[str, str] | None = None,
    *,
    inherited: Mapping[str, str] | None = None,
    is_frozen: bool | None = None,
) -> dict[str, str]:
    """Environment for a child: `inherited` (default os.environ) cleaned, then `extra` as it is.

    Removed: LLAMA_* (would change an engine behind our back), names that look like secrets (engines need
    none; a key is passed on purpose in `extra`), PyInstaller's own. The loader's paths get their old value.
    """
    source = os.environ if inherited is None else inherited
    frozen = bool(getattr(sys, "frozen", False)) if is_frozen is None else is_frozen
    env = {
        name: value
        for name, value in source.items()
        if not _STEERING.match(name) and not _SECRET.search(name) and name not in (PARENT_PID, INSTANCE_TOKEN)
    }
    for name in _LOADER_VARIABLES:
        original = env.pop(f"{name}_ORIG", None)
        if original is not None:
            env[name] = original
        elif frozen:
            env.pop(name, None)
    # OpenMP's threads spin while they wait: with any other load on the machine that costs most of the speed
    # (measured: 4 instead of 25 to 50 tok/s), and nothing on an idle one
    env.setdefault("OMP_WAIT_POLICY", "passive")
    env.update(extra or {})
    return env
