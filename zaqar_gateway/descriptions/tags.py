"""The groups that operations are shown in, by the first words of their names."""

from __future__ import annotations

from collections.abc import Mapping

SERVICE = "service"

TAGS: Mapping[str, str] = {
    "queue": "Queues: named places for messages, with metadata.",
    "message": "Messages of queues.",
    "claim": "Claims: messages that are held by a worker for a time.",
    "dead_letter": "Dead letters: messages that were claimed too often.",
    "subscription": "Subscriptions: who is told of what is posted to a queue.",
    "durable": "Durable names of live subscriptions.",
    "delivery": "Deliveries to subscribers that were given up.",
    "topic": "Topics: as queues, without claims.",
    "pool": "Pools: stores that queues and topics are put in.",
    "flavor": "Flavors: kinds of pools.",
    SERVICE: "The service itself.",
}


def tag_of(name: str) -> str:
    """The group of an operation."""
    return next((tag for tag in TAGS if name.startswith(f"{tag}_")), SERVICE)
