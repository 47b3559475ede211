"""The examples, run as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.system.gateway import GatewayTestCase

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_S = 60


class ProducerAndWorkerTests(GatewayTestCase):
    """A producer over WebSocket and a guest agent over HTTP."""

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(process.kill)
        return process

    def test_tasks_are_done(self) -> None:
        """Every task that the producer posts comes back done by the agent."""
        agent = self.start("agent.py", "--once", "--project", self.project, "--url", self.gateway.http)
        texts = ["hello", "wörld", "a b"]
        producer = self.start("producer.py", "--project", self.project, "--url", self.gateway.websocket, *texts)
        told, _ = producer.communicate(timeout=TIMEOUT_S)
        self.assertEqual(sorted(told.splitlines()), sorted(text.upper() for text in texts), told)
        self.assertEqual(producer.returncode, 0)
        done, _ = agent.communicate(timeout=TIMEOUT_S)
        self.assertEqual(agent.returncode, 0, done)
