"""A binary of one's own: an executable file that answers --help, --version and --list-devices, and works.

`write_engine(path, ...)` makes one. What it says comes from recordings of the real programs; for work it
hands over to the stand-ins of llama-server and sd-cli.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
HELP = {
    "llama.cpp": DATA / "llama-server" / "help.out.txt",
    "stable-diffusion.cpp": DATA / "sd-cli" / "sd-cli-help-master827.txt",
}
VERSION = {
    "llama.cpp": "version: 0.6.0 (build 11700, commit abc1234)\nbuilt with GNU 12.2.0 for Linux x86_64\n",
    "stable-diffusion.cpp": "stable-diffusion.cpp version master-827-97d2990, commit 97d2990\n",
}
DEVICES = {"llama.cpp": "Available devices:\n  (none)\n", "stable-diffusion.cpp": "CPU\tFake processor\n"}


def write_engine(path: Path, engine: str, **plan: Any) -> Path:
    """An executable file. plan, all optional:

    help, version, devices: what it prints (a text); version_code, help_code, devices_code: exit statuses
    hang: an argument at which it hangs; die: an argument at which it is killed by SIGILL
    faults: arguments for fake_llama_server; log: lines on stderr before work
    on_processor: no layer goes to a GPU; image: a plan of fake_sd_cli
    runs: a file that gets a line per start
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"engine": engine, **plan})
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.fakes.fake_engine import main\nsys.exit(main({text!r}, sys.argv[1:]))\n"
    )
    path.chmod(0o755)
    return path


def main(text: str, argv: list[str]) -> int:
    plan = json.loads(text)
    engine = plan["engine"]
    if "runs" in plan:
        with Path(plan["runs"]).open("a") as file:
            file.write(" ".join(argv) + "\n")
    if plan.get("hang") in argv:
        threading.Event().wait()
    if plan.get("die") in argv:
        os.kill(os.getpid(), signal.SIGILL)
    if argv == ["--help"]:
        sys.stdout.write(plan.get("help", HELP[engine].read_text("utf-8")))
        return int(plan.get("help_code", 0))
    if argv == ["--version"]:
        sys.stderr.write(plan.get("version", VERSION[engine]))
        return int(plan.get("version_code", 0))
    if argv == ["--list-devices"]:
        sys.stdout.write(plan.get("devices", DEVICES[engine]))
        return int(plan.get("devices_code", 0))
    for line in plan.get("log", ()):
        sys.stderr.write(line + "\n")
    sys.stderr.flush()
    return _work(engine, plan, argv)


def _work(engine: str, plan: dict[str, Any], argv: list[str]) -> int:
    if engine == "llama.cpp":
        from tests.fakes import fake_llama_server as fake

        if plan.get("on_processor"):
            log = fake.log
            fake.log = lambda level, text: None if "offloaded" in text else log(level, text)
        code = fake.Server([*plan.get("faults", ()), *argv]).run()
        sys.stdout.flush()
        os._exit(code)
    from tests.fakes import fake_sd_cli

    # it runs in a fresh folder of its own that has to stay empty but for the picture
    plan_file = Path(f"{sys.argv[0]}.plan.json")
    plan_file.write_text(json.dumps(plan.get("image", {})))
    sys.argv = [sys.argv[0], str(plan_file), *argv]
    return fake_sd_cli.main()
