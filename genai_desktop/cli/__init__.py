"""The command line.

The same services without a window (spec: exit codes, JSON lines, progress on a terminal).
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from genai_desktop.core.errors import CancelledError, GenaiError, InvalidInputError

if TYPE_CHECKING:
    from genai_desktop.cli.output import Output

# what the parser gives for no arguments
DEFAULTS = {
    "data_dir": None, "offline": False, "minimized": False, "command": None, "module": "", "json": False,
}  # fmt: skip
EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_UNVERIFIABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def parse(argv: list[str]) -> argparse.Namespace:
    """Arguments as a namespace; `.command` is None for the window. Exits 2 with usage on a mistake."""
    if not argv:  # a double click: the window need not wait for a parser of commands it does not have
        return argparse.Namespace(**DEFAULTS)
    from genai_desktop.cli.parser import build_parser

    return build_parser().parse_args(argv)


def run(options: argparse.Namespace) -> int:
    """Run one command; the exit code. Never a traceback on the terminal."""
    import asyncio  # not for the window, which parses its arguments here and has 160 ms to its first paint

    from genai_desktop.cli.output import Output

    output = Output(is_json=bool(getattr(options, "json", False)))
    try:
        return asyncio.run(_guarded(options, output))
    except KeyboardInterrupt:
        output.end_progress()
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # the reader of a pipe left early (head, less): not our error, and stdout cannot tell anyone
        sys.stderr.close()
        return EXIT_FAILED


async def _guarded(options: argparse.Namespace, output: Output) -> int:
    import asyncio
    import signal
    from importlib import import_module

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    is_terminated = False

    def terminate() -> None:
        nonlocal is_terminated
        is_terminated = True
        if task is not None:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, terminate)
        except NotImplementedError:  # Windows: KeyboardInterrupt does the same through asyncio.run
            break
    command = import_module(f"genai_desktop.cli.{options.module}")
    try:
        code: int = await command.main(options, output)
    except asyncio.CancelledError:
        output.end_progress()
        if not is_terminated:
            raise
        return EXIT_INTERRUPTED
    except CancelledError:
        output.end_progress()
        return EXIT_INTERRUPTED
    except GenaiError as error:
        output.error(error)
        return EXIT_USAGE if isinstance(error, InvalidInputError) and error.code == "USAGE" else EXIT_FAILED
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        where = f" ({error.filename})" if error.filename else ""
        output.error(GenaiError(f"The system refused: {error.strerror or error}{where}.", code="IO_ERROR"))
        return EXIT_FAILED
    return code
