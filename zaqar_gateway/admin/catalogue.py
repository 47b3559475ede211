"""Every metric of a gateway: name, kind, labels and meaning, and nowhere else."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

PREFIX = "zaqar_gateway_"


@frozen
class Described:
    """A metric.

    :ivar name: behind the prefix; of a counter without ``_total``.
    :ivar when: where it is not always there.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    text: str
    labels: tuple[str, ...] = ()
    when: str = ""

    @property
    def shown(self) -> str:
        """Its name as Prometheus has it; of a histogram what ``_bucket``, ``_sum`` and ``_count`` stand behind."""
        return PREFIX + self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


WORKER = "worker"
"""The label that all metrics have of a gateway of several processes."""

_OPERATION, _TRANSPORT, _STORE = "operation", "transport", "store"
_IN_KEYSTONE, _IN_TLS, _IN_WORKERS = "with Keystone", "with TLS", "with several workers"

_ALL = (
    Described("build", "info", "What runs.", ("version", "python", "twisted")),
    Described(
        "requests",
        "counter",
        "Requests that were answered; the operation is none where it is none of the registry, such as the document of versions, or was not known.",
        (_OPERATION, _TRANSPORT, "status"),
    ),
    Described(
        "request_duration_seconds",
        "histogram",
        "From the request, read and let in, to its answer; without requests that wait for messages.",
        (_OPERATION, _TRANSPORT),
    ),
    Described("received_bytes", "counter", "Bytes that clients sent, without those of TLS.", (_TRANSPORT,)),
    Described("sent_bytes", "counter", "Bytes that clients were sent, without those of TLS.", (_TRANSPORT,)),
    Described("connections", "gauge", "Connections of clients that are open.", (_TRANSPORT,)),
    Described("requests_in_flight", "gauge", "Requests that are being served, without those that wait for messages."),
    Described("requests_waiting", "gauge", "Requests that wait for messages."),
    Described("event_streams", "gauge", "Streams of events that are open."),
    Described("socket_subscriptions", "gauge", "Subscriptions of WebSockets that are pushed to, live ones among them."),
    Described("live_subscriptions", "gauge", "Live subscriptions of WebSockets, workers among them."),
    Described("unread_bytes", "gauge", "Bytes that wait here for clients that do not read."),
    Described("refusals", "counter", "What was refused because a bound was reached, by the setting that has it, or the section of settings.", ("bound",)),
    Described(
        "store_up",
        "gauge",
        "Whether all of a store can be asked now: that of the settings, configured, and each pool, pool NAME.",
        (_STORE,),
    ),
    Described("store_troubles", "gauge", "How many things there are to mend at a store, besides that it is away; /health says which.", (_STORE,)),
    Described("store_connections_lost", "counter", "How often the connection to a store was lost.", (_STORE,)),
    Described("redis_commands_in_flight", "gauge", "Commands that Redis has not answered yet.", (_STORE,)),
    Described("redis_commands", "counter", "Commands that were sent to Redis; one may do for many requests."),
    Described("redis_round_trip_seconds", "histogram", "From a write to Redis, of one command or many, to the last answer to it."),
    Described(
        "delivery_attempts",
        "counter",
        "Attempts to deliver to subscribers, by what came of them: delivered, failed (and tried again), refused (and not), held_back,"
        " made_room (broken off for others) or not_wanted (any more).",
        ("scheme", "outcome"),
    ),
    Described("delivery_lateness_seconds", "histogram", "From a post to the end of the attempt that delivered it."),
    Described("deliveries_given_up", "counter", "Deliveries that are not tried again."),
    Described("delivery_gaps", "counter", "How often a subscriber missed posts that were kept no longer."),
    Described("delivery_subscribers", "gauge", "Subscribers that are being delivered to."),
    Described(
        "delivery_hosts_held_back",
        "gauge",
        "Hosts that deliveries are held back from, for they keep failing; of two projects a host counts twice.",
    ),
    Described(
        "keystone_calls",
        "counter",
        "Calls to Keystone, by what came of them: answered, denied, or unavailable, as are those that are not made while it is away.",
        ("outcome",),
        _IN_KEYSTONE,
    ),
    Described("keystone_call_duration_seconds", "histogram", "How long Keystone took to answer.", (), _IN_KEYSTONE),
    Described("keystone_up", "gauge", "Whether Keystone answered the last call.", (), _IN_KEYSTONE),
    Described(
        "tokens", "counter", "Looks at tokens, by whether it was remembered whose they are: yes or no.", ("remembered",), _IN_KEYSTONE
    ),
    Described(
        "event_loop_lag_seconds", "histogram", "By how much a timer of the event loop is late, which is looked at four times a second."
    ),
    Described("policy_file_up_to_date", "gauge", "Whether the rules in force are those in the policy file."),
    Described("certificate_expiry_timestamp_seconds", "gauge", "When the TLS certificate that is shown ends.", (), _IN_TLS),
    Described("certificate_up_to_date", "gauge", "Whether the TLS files that there are now are in use.", (), _IN_TLS),
    Described("worker_up", "gauge", "Whether a worker answers its keeper.", (WORKER,), _IN_WORKERS),
    Described("worker_starts", "counter", "How often a worker was started.", (WORKER,), _IN_WORKERS),
)

METRICS = {each.name: each for each in _ALL}
"""By name, in the order in which they are told."""
