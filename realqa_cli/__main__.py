"""`python -m realqa_cli` is the same as `realqa`."""

import sys

from realqa_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
