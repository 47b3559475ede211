"""curl, as README shows it: the lines of its tour, one after the other in one shell, against a gateway."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.programs import program
from tests.system.gateway import ANSWER_S, ROOT, Gateway, environment, new_directory

README = ROOT / "README.md"

_HEADING = re.compile(r"(?i)five[ -]minutes|\btour\b")


def tour(text: str) -> list[str]:
    """The commands in ``sh`` blocks of the sections whose heading says that they are the tour.

    :return: one text for each command, its continued lines included.
    """
    found: list[str] = []
    depth, block, goes_on = 0, "", False
    for line in text.splitlines():
        if line.startswith("```"):
            block = "" if block else line[3:].strip() or "text"
        elif block == "sh" and depth:
            if goes_on:
                found[-1] += f"\n{line}"
            elif line.strip() and not line.startswith("#"):
                found.append(line)
            goes_on = bool(found) and (found[-1].endswith("\\") or _is_open(found[-1]))
        elif not block and (heading := re.match("(#+) (.*)", line)):
            if len(heading[1]) <= depth:
                depth = 0
            if not depth and _HEADING.search(heading[2]):
                depth = len(heading[1])
    return found


def _is_open(command: str) -> bool:
    """Whether a quote or a bracket is still open."""
    return subprocess.run(["bash", "-n", "-c", command], capture_output=True, check=False).returncode != 0


class TourTests(SynchronousTestCase):
    def test_commands_are_found(self) -> None:
        """Commands are those of shell blocks in the right section, each with the lines that continue it."""
        shell = "```sh\n# words\na \\\n  b\n\nc 'd\ne'\n```"
        text = f"# Title\n{shell}\n## A tour\nwords\n{shell}\n### Part\n```sh\nf\n```\n```json\n# g\n```\n## End\n{shell}\n"
        self.assertEqual(tour(text), ["a \\\n  b", "c 'd\ne'", "f"])

    def test_line_by_line(self) -> None:
        """Every line succeeds, and its answer is no error unless the line says that it shows one."""
        program("curl")
        commands = tour(README.read_text(encoding="utf-8"))
        gateway = Gateway()
        self.addCleanup(gateway.kill)
        script, mark = "", "--- this is line "
        for number, command in enumerate(commands):
            for port, url in ((8888, gateway.http), (9000, gateway.websocket)):
                command = re.sub(rf"(localhost|127\.0\.0\.1):{port}\b", urlsplit(url).netloc, command)
            script += f"echo '{mark}{number}'\n{command}\n"
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            env=environment(),
            cwd=new_directory(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        shown = [part.partition("\n") for part in done.stdout.split(mark)[1:]]
        self.assertEqual(done.returncode, 0, f"{commands[int(shown[-1][0])]}\n{shown[-1][2]}")
        answers = 0
        for command, (_, _, answer) in zip(commands, shown, strict=True):
            if "--no-fail" in command:
                self.assertIn('"description":', answer, command)
            else:
                self.assertNotRegex(answer, r'"title": ?"|HTTP/1\.1 [45]', command)
            answers += bool(re.search(r"[{\[].*[}\]]|HTTP/1\.1 2", answer))
        self.assertGreaterEqual(answers, 4, "the tour shows too little")
        gateway.stop()
