"""``python -m bench``."""

import signal
import sys

from bench.cli import main

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers that were started are ended too
sys.exit(main())
