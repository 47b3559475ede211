"""How a delivery can fail."""

from __future__ import annotations

from zaqar_gateway.failures import Explained


class DeliveryFailed(Explained):
    """A delivery failed for a cause that is known here."""
