"""A stand-in for sd-cli that replays a recorded run and fails on demand: `fake_sd_cli.py PLAN ARGUMENTS`.

It is no kinder than the real one: arguments are checked the same way, pictures are written at the very end,
there is no signal handler, and an unwritable output costs the whole run.

PLAN is a JSON file; all keys are optional:
    transcript  stem of a recording in tests/data/sd-cli (default: by the number of pictures)
    exit        exit code instead of 0; with it nothing is written
    signal      kill itself with this signal at the stage `at`
    at          stage of a fault: "start", "load", "sample", "decode", "save" (default "sample")
    files       "ok", "none", "truncated", "empty", "text", "one" (only the first of several)
    stop        stage at which to stop moving for ever
    gate        folder: at every stage it writes `<stage>.reached` there, and waits for `<stage>.go` where
                there is a `<stage>.hold`
    grandchild  file: start a child of its own that sleeps for ever, and write its number there
    runs        file: append a line per start (and per end, when it ends by itself)
    stderr      text to write to standard error at the stage `at`
    flood       bytes to write to both pipes before the end
    chunk       bytes per write (default: whole lines)
"""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data" / "sd-cli"
HELP = (DATA / "sd-cli-help-master827.txt").read_text("utf-8")
_FLAG = re.compile(r"^\s{2}(?:(-\w), )?(--[\w-]+)( <\w+>)?", re.MULTILINE)
FLAGS = frozenset(match[2] for match in _FLAG.finditer(HELP))
# They take a value, though the help does not say so.
_VALUED = frozenset(
    {
        *(
            "--mode",
            "--preview",
            "--type",
            "--rng",
            "--sampler-rng",
            "--prediction",
            "--lora-apply-mode",
            "--seed",
        ),
        *("--sampling-method", "--scheduler", "--sigmas", "--skip-layers", "--ref-image", "--cache-mode"),
        *("--cache-option", "--scm-mask", "--scm-policy", "--vae-tile-size", "--vae-relative-tile-size"),
    }
)
_STAGES = (
    ("load", b"loading "),
    ("sample", b"generating image: 1/"),
    ("decode", b"decoding "),
    ("save", b"generate_image completed"),
)


def main() -> int:
    plan: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    if sys.argv[2:] == ["--help"]:
        sys.stdout.write(HELP)
        return 0
    options = _parse(sys.argv[2:])
    if options is None:
        return 1
    _note(plan, f"start {os.getpid()}")
    if "grandchild" in plan:
        child = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(60)"])
        Path(plan["grandchild"]).write_text(str(child.pid))
    count = int(options.get("--batch-count", "1"))
    stem = plan.get("transcript") or ("m827_flux_batch2" if count > 1 else "m827_sd1_cfg7")
    _stage(plan, "start")
    _replay(plan, (DATA / f"{stem}.out").read_bytes())
    if plan.get("flood"):
        for _ in range(plan["flood"] // 65536 + 1):
            sys.stdout.buffer.write(b"x" * 65535 + b"\n")
            sys.stderr.buffer.write(b"y" * 65535 + b"\n")
        sys.stdout.flush()
    if plan.get("exit"):
        _note(plan, f"end {os.getpid()}")
        return int(plan["exit"])
    failed = _save(plan, options, count)
    _note(plan, f"end {os.getpid()}")
    return failed


def _parse(arguments: list[str]) -> dict[str, str] | None:
    """As the real one: unknown argument and a missing value end it, a bad number aborts it."""
    takes_value = {match[2]: bool(match[3]) or match[2] in _VALUED for match in _FLAG.finditer(HELP)}
    long_names = {match[1]: match[2] for match in _FLAG.finditer(HELP) if match[1]}
    options: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        name = long_names.get(argument, argument)
        if name not in takes_value:
            sys.stderr.write(f"[ERROR] common.cpp:325  - error: unknown argument: {argument}\n")
            sys.stdout.write(HELP)
            return None
        options[name] = next(rest, "") if takes_value[name] else ""
    for name in ("--steps", "--width", "--height", "--seed", "--batch-count", "--threads"):
        if not re.match(r"-?\d", options.get(name, "1")):
            sys.stderr.write(
                "terminate called after throwing an instance of 'std::invalid_argument'\n  what():  stoi\n"
            )
            sys.stderr.flush()
            os.abort()
    if "--model" not in options and "--diffusion-model" not in options:
        sys.stderr.write(
            "[ERROR] common.cpp:700  - error: the following arguments are required: model_path\n"
        )
        return None
    return options


def _replay(plan: dict[str, Any], data: bytes) -> None:
    out = sys.stdout.buffer
    reached: set[str] = set()
    for line in re.split(rb"(?<=[\n\r])", data):
        for stage, mark in _STAGES:
            if mark in line and stage not in reached:
                reached.add(stage)
                _stage(plan, stage)
        if b"save result image" in line or b"images saved" in line:
            continue
        size = plan.get("chunk") or len(line) or 1
        for begin in range(0, len(line), size):
            out.write(line[begin : begin + size])
            out.flush()


def _stage(plan: dict[str, Any], stage: str) -> None:
    if plan.get("at", "sample") == stage:
        if "stderr" in plan:
            sys.stderr.write(plan["stderr"] + "\n")
            sys.stderr.flush()
        if "signal" in plan:
            os.kill(os.getpid(), int(plan["signal"]))
            time.sleep(60)  # until the signal arrives
    if "gate" in plan:
        folder = Path(plan["gate"])
        (folder / f"{stage}.reached").touch()
        while (folder / f"{stage}.hold").exists() and not (folder / f"{stage}.go").exists():
            time.sleep(0.002)
    if plan.get("stop") == stage:
        signal.pause()


def _save(plan: dict[str, Any], options: dict[str, str], count: int) -> int:
    """Numbered as the real one numbers; like it, success means that one picture at least was written."""
    pattern = options.get("--output", "output.png")
    seed, width, height = (int(options.get(name, "64")) for name in ("--seed", "--width", "--height"))
    saved = 0
    for index in range(count):
        name = pattern % index if re.search(r"(?<!%)%0?\d*d", pattern) else pattern.replace("%%", "%")
        if count > 1 and name == pattern:
            name = name.replace(".png", f"_{index}.png")
        kind = plan.get("files", "ok")
        if kind == "none" or (kind == "one" and index):
            continue
        data = png(width, height, seed + index, f"fake\nSteps: {options.get('--steps', '20')}")
        data = {"truncated": data[: len(data) // 2], "empty": b"", "text": b"<html>"}.get(kind, data)
        try:
            Path(name).write_bytes(data)
        except OSError:
            print(f"[INFO ] main.cpp:490  - save result image {index} to '{name}' (failure)")
            continue
        saved += 1
        print(f"[INFO ] main.cpp:490  - save result image {index} to '{name}' (success)")
    print(f"[INFO ] main.cpp:562  - {saved}/{count} images saved", flush=True)
    return 0 if saved or plan.get("files") == "none" else 1


def png(width: int, height: int, seed: int, parameters: str = "") -> bytes:
    """A small true PNG with some texture that depends on the seed."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in ((x * 4 + seed) & 255, (y * 4) & 255, (x ^ y) & 255))
        for y in range(height)
    )
    text = chunk(b"tEXt", b"parameters\0" + parameters.encode("latin-1", "replace")) if parameters else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + text
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def _note(plan: dict[str, Any], text: str) -> None:
    if "runs" in plan:
        with Path(plan["runs"]).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
