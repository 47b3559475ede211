/**
 * What went wrong with an action.
 *
 * Thrown as well for what never reached the gateway: then `status` is 0.
 */
export class ZaqarError extends Error {
  constructor(status: number, message: string, action?: string, unknown?: boolean);
  readonly name: "ZaqarError";
  /** As of HTTP; 0 where no answer came. */
  readonly status: number;
  /** The action, such as `message_post`, or the method and path of a request. */
  readonly action: string;
  /** Whether it may have taken effect all the same, since only the answer is missing. */
  readonly unknown: boolean;
}

/** Why a token is asked for: for a new connection, since the one there is will expire, or since it was not accepted. */
export type TokenReason = "connect" | "expiring" | "refused";

/**
 * A Keystone token, with the instant of its end where that is known: it is replaced half a minute before. `expires` is ISO
 * 8601, milliseconds since 1970 or a `Date`; anything else fails as a token that is not to be had does.
 */
export type Token = string | {token: string; expires?: string | number | Date};

export type Transport = "websocket" | "sse" | "poll";

/** A pre-signed URL, as `POST /v2/queues/{queue}/share` answers. */
export interface Share {
  project: string;
  paths: string[];
  methods: string[];
  expires: string;
  signature: string;
}

export interface Backoff {
  /** Milliseconds: the upper bound of the first pause. */
  initial?: number;
  /** Milliseconds: the upper bound of any. */
  max?: number;
  /** By how much the bound grows with each failure. */
  factor?: number;
}

export interface Status {
  state: "connecting" | "open" | "waiting" | "closed";
  transport: Transport | null;
  /** How many posts wait for their answer. */
  waiting: number;
  /** What went wrong, where the state is `waiting`. */
  error?: Error;
  /** Milliseconds until the next try, where the state is `waiting`. */
  retryIn?: number;
}

/** A `WebSocket` class, such as that of the package `ws`. */
export interface WebSocketClass {
  new (url: string): object;
}

export interface Options {
  /** Of the listener for HTTP and WebSocket: `http(s)://…` or `ws(s)://…`. In a page: its own origin, if not given. */
  url?: string;
  /** The id of a project (tenant); that of `share`, if not given. */
  project?: string;
  /** A UUID. Random, if not given. Listings and `echo: false` leave out what the same client posted. */
  clientId?: string;
  /** Gives Keystone tokens; nothing is authenticated without. */
  token?: Token | ((why: TokenReason) => Token | Promise<Token>);
  /** Use a pre-signed URL instead of a token; over HTTP alone. */
  share?: Share;
  /** How frames of a WebSocket are written. Default: `json`. */
  encoding?: "json" | "msgpack";
  /** The ways that may be used; the first is tried first. Default: all, in this order. */
  transports?: Transport[];
  /** How many posts may wait for an answer, sent or not. Default: 1,000. */
  offlineQueue?: number;
  /** Pauses before reconnecting: random, up to a bound that grows. Default: 1 s, doubled up to 30 s. */
  backoff?: Backoff;
  /** Milliseconds that an action may take. Posts have no such limit. Default: 60,000. */
  timeout?: number;
  /** Milliseconds that opening a connection may take. Default: 10,000. */
  connectTimeout?: number;
  /** Milliseconds of silence after which the gateway is asked for a sign of life. Default: 10,000. */
  heartbeat?: number;
  /** Milliseconds after which it is tried whether WebSockets are blocked still. Default: 60,000. */
  upgradeAfter?: number;
  /** What it throws goes to the console and changes nothing, as with `onPush`, `onGap` and `onError`. */
  onStatus?: (status: Status) => void;
  /** Called with frames that are of no subscription made here, such as notifications of a plain one. */
  onPush?: (frame: Record<string, unknown>) => void;
  /** For Node before version 22. */
  WebSocket?: WebSocketClass;
  fetch?: typeof fetch;
}

export interface Gap {
  /** The id after which messages are missing; `null`: none was read yet. */
  after: string | null;
  /** The id of the message with which it goes on; `null`: that is not known yet. */
  continuesAt: string | null;
}

export interface SubscribeOptions {
  /** `latest` (default), `earliest`, or the id of a message: after that. Without effect on a durable place that exists. */
  start?: string;
  /** A name under which the gateway keeps the place, 1 to 64 of `A-Z a-z 0-9 _ . -`. */
  durable?: string;
  /** How many messages may be unacknowledged, 1 to 1,000. Default: 100. */
  window?: number;
  /** Whether messages have to be acknowledged. Default: `explicit` with `durable`, else `none`. */
  acknowledge?: "none" | "explicit";
  /** Seconds after which what is not acknowledged comes again, 1 to 43,200. Default: 30. */
  deadline?: number;
  /** Whether messages of this client come too. Default: true. */
  echo?: boolean;
  /** Seconds for which a durable place is kept after it was last used, 60 to 1,209,600. */
  ttl?: number;
  /** Called, between two messages, where some were removed before they were read. Default: a warning on the console. */
  onGap?: (gap: Gap) => void;
}

export interface Message<Body = any> {
  readonly id: string;
  readonly queue: string;
  readonly body: Body;
  readonly ttl: number;
  readonly age: number;
  /** Whether it came before, to this subscription or its durable name. */
  readonly redelivered: boolean;
  /**
   * It is done with and does not come again. Kept, once the gateway has that, with whether it was in time; broken where the
   * subscription has ended by itself, with the reason.
   */
  ack(): Promise<boolean>;
  /** It shall come again, after some seconds. Kept with whether it was still unacknowledged. */
  refuse(delay?: number): Promise<boolean>;
  /** It takes so many seconds more, from now on. */
  extend(seconds: number): Promise<boolean>;
}

/** A message that is claimed for this client. */
export interface Task<Body = any> extends Message<Body> {
  readonly claimId: string | null;
  readonly claimCount: number | null;
  /** Delete it. Kept with whether the claim was still there; if not, somebody else may have got the task. */
  done(): Promise<boolean>;
}

/** Where a subscription began. */
export interface Live {
  marker: string | null;
  durable: string | null;
  /** `null` where nothing is acknowledged. */
  window: number | null;
  /** Whether the durable place was there already. */
  resumed: boolean;
}

/** To be iterated over once; leaving the loop ends it. */
export interface Subscription<Item = Message> extends AsyncIterableIterator<Item> {
  readonly queue: string;
  /** Kept once the gateway has it; fails where that refuses it. */
  readonly ready: Promise<Live>;
  readonly ended: boolean;
  /** Allow another number of unacknowledged messages, 1 to 1,000; fails for any other, and changes nothing then. */
  resize(window: number): Promise<void>;
  /** End it: what was acknowledged is told before, what was not comes again elsewhere. */
  close(): Promise<void>;
}

export interface ListenOptions {
  /** Called with what the function threw, and with what ended the listening. Default: the console. */
  onError?: (error: unknown, message?: Message) => void;
  onGap?: (gap: Gap) => void;
}

export interface WorkOptions {
  /** Seconds of the claims, which are renewed while the connection lives. Default: 60. */
  ttl?: number;
  grace?: number;
  /** How many tasks may be held at a time. Default: 1. */
  window?: number;
}

export interface PostOptions {
  /** Seconds; of messages that have none of their own. */
  ttl?: number;
  delay?: number;
  /** The idempotency key; random, if not given. Not where messages have keys of their own. */
  key?: string;
}

export interface NewMessage {
  body: unknown;
  ttl?: number;
  delay?: number;
  /** A key of its own. Once one message has one, the others of the post get random ones. */
  idempotency_key?: string;
}

type Fields = Record<string, unknown>;

/** Connected from its making to `close()`, through whatever happens in between. */
export class Zaqar {
  constructor(options: Options);
  readonly clientId: string;
  readonly status: Status;

  /**
   * Post a message, or several; kept with their ids.
   *
   * It waits while there is no connection, and is sent again where an answer was lost or the gateway was busy, under a key
   * by which the gateway stores it once. An array is several messages where all its elements have a `body`. One that is too
   * long for the gateway fails with status 413.
   */
  post(queue: string, what: unknown | NewMessage[], options?: PostOptions): Promise<string[]>;

  /** Settles when no post waits. */
  flush(): Promise<void>;

  /** Any action of the API; kept with the body of its answer. */
  action<Answer = any>(name: string, body?: Fields): Promise<Answer>;

  /** A request of HTTP, for what has no action. A `body` is sent as JSON, of the media type `type`. */
  request<Answer = any>(
    method: string,
    path: string,
    body?: unknown,
    options?: {type?: string},
  ): Promise<{status: number; body: Answer}>;

  /** The messages of a queue, each once and in order. One client follows a queue once at a time. */
  subscribe<Body = any>(queue: string, options?: SubscribeOptions): Subscription<Message<Body>>;

  /**
   * Call a function with each message of a queue, one after the other.
   *
   * Where messages are acknowledged, the end of the call does that, and its failure has the message come again after a
   * second. What is returned ends the listening.
   */
  listen<Body = any>(
    queue: string,
    options: SubscribeOptions | undefined,
    call: (message: Message<Body>) => unknown,
    more?: ListenOptions,
  ): () => Promise<void>;

  /** The tasks of a queue, each claimed for this client until it is done or refused. */
  work<Body = any>(queue: string, options?: WorkOptions): Subscription<Task<Body>>;

  /** See now whether the connection lives, or try now to connect. For when an app comes to the front. */
  wake(): void;

  /** End all. Posts that wait are rejected: `await zaqar.flush()` before, where they matter. */
  close(): Promise<void>;

  queueList(fields?: Fields): Promise<any>;
  queueCreate(queue: string, fields?: Fields): Promise<any>;
  queueGet(queue: string, fields?: Fields): Promise<any>;
  queueDelete(queue: string, fields?: Fields): Promise<any>;
  queueGetStats(queue: string, fields?: Fields): Promise<any>;
  queuePurge(queue: string, fields?: Fields): Promise<any>;
  messagePost(queue: string, fields: Fields): Promise<any>;
  messageList(queue: string, fields?: Fields): Promise<any>;
  messageGet(queue: string, fields: Fields): Promise<any>;
  messageGetMany(queue: string, fields: Fields): Promise<any>;
  messageDelete(queue: string, fields: Fields): Promise<any>;
  messageDeleteMany(queue: string, fields: Fields): Promise<any>;
  claimCreate(queue: string, fields?: Fields): Promise<any>;
  claimGet(queue: string, fields: Fields): Promise<any>;
  claimUpdate(queue: string, fields: Fields): Promise<any>;
  claimDelete(queue: string, fields: Fields): Promise<any>;
  subscriptionCreate(queue: string, fields: Fields): Promise<any>;
  subscriptionList(queue: string, fields?: Fields): Promise<any>;
  subscriptionGet(queue: string, fields: Fields): Promise<any>;
  subscriptionDelete(queue: string, fields: Fields): Promise<any>;
  durableList(queue: string, fields?: Fields): Promise<any>;
  durableDelete(queue: string, fields: Fields): Promise<any>;
  deadLetterList(queue: string, fields?: Fields): Promise<any>;
  deadLetterReturn(queue: string, fields?: Fields): Promise<any>;
}
