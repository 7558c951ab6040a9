"""`python -m gantutor …` does what `gantutor …` does, also from a checkout that was never installed."""

import sys

from gantutor.cli import main

if __name__ == "__main__":
    sys.exit(main())
