"""`genai-desktop` and `python -m genai_desktop`: the window; with a sub-command, the command line.

The same executable also starts the embedded engines, as children: a frozen build has no other interpreter.
"""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Dispatch, importing only what the answer needs: an engine child must not load a window."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["--embedded-engine"]:
        from genai_desktop.engines.embedded import dispatch

        code = dispatch(arguments)
        return 2 if code is None else code
    from genai_desktop import cli

    options = cli.parse(arguments)
    if options.command is not None:
        return cli.run(options)
    from genai_desktop import app

    return app.main(options)


if __name__ == "__main__":
    sys.exit(main())
