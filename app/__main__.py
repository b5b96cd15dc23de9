"""`python -m dreamscope.app`."""

import sys

from dreamscope.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
