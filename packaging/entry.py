"""The frozen program's first module."""

import sys

from genai_desktop.__main__ import main

sys.exit(main())
