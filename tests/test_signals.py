"""What signals do to processes of a gateway."""

from __future__ import annotations

import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import environment
from zaqar_gateway import signals

TERMINAL = {signal.SIGINT, signal.SIGHUP}

WORKER = """
import signal
from zaqar_gateway import signals
print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))
signals.as_worker()
for number in (signal.SIGINT, signal.SIGHUP):
    signal.raise_signal(number)
print(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))))
"""


class TerminalTests(SynchronousTestCase):
    """What a terminal sends to all processes."""

    def test_kept_from_children(self) -> None:
        """What is started meanwhile begins with them held back, and this process does not stay so."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        with signals.kept_from_children():
            self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, []), before | TERMINAL)
            done = subprocess.run(
                [sys.executable, "-c", WORKER], env=environment(), capture_output=True, text=True, timeout=120, check=False
            )
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, []), before)
        held = sorted(map(int, before | TERMINAL))
        left = sorted(map(int, before - TERMINAL))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f"{held}\n{left}\n", ""))
