"""``python -m zaqar_gateway``: the same as the console script."""

import sys

from zaqar_gateway.cli import main

if __name__ == "__main__":
    sys.exit(main())
