"""Secrets that can be told from everything else, and where they have come to."""

from __future__ import annotations

import base64
from uuid import uuid4


class Canaries:
    """Secrets by their names; each is of letters and digits alone, so that no way of quoting hides it."""

    def __init__(self) -> None:
        self._secrets: dict[str, str] = {}

    def new(self, name: str) -> str:
        """A new secret.

        :param name: where it is kept, for the report.
        """
        return self.add(name, f"canary{uuid4().hex}")

    def add(self, name: str, secret: str) -> str:
        """Watch for a secret that somebody else made."""
        self._secrets[name] = secret
        return secret

    def found_in(self, text: str) -> list[str]:
        """The names of those that a text holds: as they are, in base64, or in hexadecimal digits."""
        return [name for name, secret in self._secrets.items() if any(form in text for form in _forms(secret.encode()))]


def _forms(secret: bytes) -> set[str]:
    """A secret, and what is within the base64 of any text that it is a part of."""
    forms = {secret.decode(), secret.hex()}
    for before in range(3):
        after = -(before + len(secret)) % 3
        encoded = base64.b64encode(b"\0" * before + secret + b"\0" * after).decode()
        forms.add(encoded[4 if before else 0 : -4 if after else None])
    return forms
