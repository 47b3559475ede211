// A client of zaqar-gateway. Apache License 2.0. See zaqar.d.ts.

import {decode, encode} from "./msgpack.js";

export class ZaqarError extends Error {
  constructor(status, message, action = "", unknown = false) {
    super(message);
    Object.assign(this, {name: "ZaqarError", status, action, unknown});
  }
}

/** A promise with its ends; its failure may go unseen. */
function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, {resolve, reject}));
  made.promise.catch(() => {});
  return made;
}

/** Exponential back-off with full jitter: milliseconds. */
const pause = ({initial, max, factor}, tries) => Math.random() * Math.min(max, initial * factor ** tries);

function sleep(ms, signal) {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal?.aborted) done();
    else signal?.addEventListener("abort", done);
  });
}

/** Whether a new token may help. A 403 of the policy is another one. */
const unauthenticated = ({status, body}) =>
  status === 401 || (status === 403 && !body.exception && /^Not authent/.test(body.error));

function refusal({status, body}, action) {
  const text = body.error || body.exception || body.description || body.title || `refused with ${status}`;
  return new ZaqarError(status, text.message ?? text, action);
}

const busy = status => status === 429 || status === 503;

// -- WebSocket --------------------------------------------------------------------------------------------------------

/** Replies come in the order of requests; what is pushed comes in between. */
class Socket {
  transport = "websocket";
  ordered = true;
  #options;
  #socket;
  #pending = [];
  #held = null;
  #quiet = false;
  #asked = false;
  #beat;
  #closed = deferred();
  closed = this.#closed.promise;

  constructor(options) {
    this.#options = options;
  }

  async open() {
    const {url, WebSocket, connectTimeout, heartbeat} = this.#options;
    const opened = deferred();
    const failed = () => opened.reject(new ZaqarError(0, `no WebSocket to ${url}`));
    const late = setTimeout(failed, connectTimeout);
    try {
      const socket = new WebSocket(url);
      this.#socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = opened.resolve;
      socket.onerror = failed;
      socket.onmessage = ({data}) => this.#receive(data);
      socket.onclose = ({code, reason}) => {
        failed();
        this.#end(code, reason);
      };
      await opened.promise;
    } catch (error) {
      this.close();
      throw error instanceof ZaqarError ? error : new ZaqarError(0, error.message);
    } finally {
      clearTimeout(late);
    }
    this.#beat = setInterval(() => this.#check(), heartbeat);
  }

  call(action, body) {
    return this.#ask({action, headers: this.#options.headers, body}, this.#held);
  }

  /** What is asked meanwhile would be refused, so it is held back. */
  async authenticate(token) {
    const held = (this.#held = []);
    try {
      const headers = {...this.#options.headers, "X-Auth-Token": token};
      return await this.#ask({action: "authenticate", headers, body: {}});
    } finally {
      this.#held = null;
      for (const send of held) send();
    }
  }

  probe(within) {
    this.#ping();
    setTimeout(() => this.#quiet && this.close("nothing is heard of the gateway"), within);
  }

  attach(subscription, hooks) {
    return new Pushed(this, subscription, hooks);
  }

  close(reason = "closed here") {
    const socket = this.#socket;
    // A browser waits up to a minute for the other side.
    this.#end(1000, reason);
    socket?.close();
  }

  #check() {
    if (this.#quiet && this.#asked) return this.close("nothing is heard of the gateway");
    this.#asked = this.#quiet;
    if (this.#quiet) this.#ping();
    this.#quiet = true;
  }

  /** This action is answered without any work. */
  #ping() {
    this.#quiet = true;
    this.call("ping_node", {}).catch(() => {});
  }

  #ask(document, held) {
    const answer = {action: document.action, ...deferred()};
    const send = () => {
      try {
        if (!this.#socket) throw new ZaqarError(0, "the connection has ended", answer.action);
        this.#socket.send(this.#options.binary ? encode(document) : JSON.stringify(document));
        this.#pending.push(answer);
      } catch (error) {
        answer.reject(error);
      }
    };
    if (held) held.push(send);
    else send();
    return answer.promise;
  }

  #receive(data) {
    let frame;
    try {
      frame = typeof data === "string" ? JSON.parse(data) : decode(data);
    } catch (error) {
      return this.close(`the gateway sent what cannot be read: ${error.message}`);
    }
    this.#quiet = false;
    const {request, headers, body} = frame;
    if (!request) return this.#options.push(frame);
    // Where nothing is free to claim, no messages are told of.
    if (request.action === "claim_create" && headers.status === 204) body.messages = [];
    this.#pending.shift()?.resolve({status: headers.status, body});
  }

  #end(code, reason) {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => {};
    clearInterval(this.#beat);
    for (const {action, reject} of this.#pending.splice(0)) {
      reject(new ZaqarError(0, "the connection ended before the answer", action, true));
    }
    this.#closed.resolve({code, reason});
  }
}

class Pushed {
  #socket;
  #subscription;
  #hooks;
  id;
  #started;

  constructor(socket, subscription, hooks) {
    this.#socket = socket;
    this.#subscription = subscription;
    this.#hooks = hooks;
  }

  start() {
    return (this.#started = this.#start());
  }

  async #start() {
    for (let tries = 0; ; tries++) {
      const answer = await this.#socket.call("subscription_create", this.#subscription.request());
      const {status, body} = answer;
      if (status === 201 && body.live) {
        this.id = body.subscription_id;
        return body.live;
      }
      if (status === 201) throw new ZaqarError(501, "this gateway has no subscriptions that resume", "subscription_create");
      if (unauthenticated(answer) && !tries) await this.#hooks.renew();
      else if (busy(status)) await sleep(pause(this.#hooks.backoff, tries));
      else throw refusal(answer, "subscription_create");
    }
  }

  async acknowledge(ids) {
    return (await this.#ask("message_acknowledge", {message_ids: ids})).acknowledged > 0;
  }

  async refuse({id}, delay) {
    return (await this.#ask("message_refuse", {message_ids: [id], delay})).refused > 0;
  }

  async extend({id}, deadline) {
    return (await this.#ask("message_extend", {message_ids: [id], deadline})).extended > 0;
  }

  resize(window) {
    return this.#ask("subscription_window", {window});
  }

  /** End it. Nothing comes any more when this is kept. */
  async stop() {
    await this.#started;
    await this.#ask("subscription_delete", {subscription_id: this.id});
  }

  async #ask(action, fields) {
    const answer = await this.#socket.call(action, {queue_name: this.#subscription.queue, ...fields});
    if (answer.status >= 300) throw refusal(answer, action);
    return answer.body;
  }
}

// -- HTTP -------------------------------------------------------------------------------------------------------------

/** How long to wait for messages, and how many to ask for: what any gateway allows. */
const WAIT_S = 20;
const PAGE = 20;

const SILENCE_MS = 40000; // the gateway gives a sign of life each 15 s

const QUEUE = "/v2/queues/{queue_name}";
const MESSAGES = `${QUEUE}/messages`;
const CLAIMS = `${QUEUE}/claims`;
const SUBSCRIPTIONS = `${QUEUE}/subscriptions`;

/** Actions as requests: method, path, and members of a body that go into the query. */
const ACTIONS = {
  queue_list: ["GET", "/v2/queues"],
  queue_create: ["PUT", QUEUE],
  queue_get: ["GET", QUEUE],
  queue_delete: ["DELETE", QUEUE],
  queue_get_stats: ["GET", `${QUEUE}/stats`],
  queue_purge: ["POST", `${QUEUE}/purge`],
  message_post: ["POST", MESSAGES],
  message_list: ["GET", MESSAGES],
  message_get: ["GET", `${MESSAGES}/{message_id}`],
  message_get_many: ["GET", MESSAGES],
  message_delete: ["DELETE", `${MESSAGES}/{message_id}`],
  message_delete_many: ["DELETE", MESSAGES],
  claim_create: ["POST", CLAIMS, "limit", "wait"],
  claim_get: ["GET", `${CLAIMS}/{claim_id}`],
  claim_update: ["PATCH", `${CLAIMS}/{claim_id}`],
  claim_delete: ["DELETE", `${CLAIMS}/{claim_id}`],
  subscription_create: ["POST", SUBSCRIPTIONS],
  subscription_list: ["GET", SUBSCRIPTIONS],
  subscription_get: ["GET", `${SUBSCRIPTIONS}/{subscription_id}`],
  subscription_delete: ["DELETE", `${SUBSCRIPTIONS}/{subscription_id}`],
  durable_list: ["GET", `${QUEUE}/durables`],
  durable_delete: ["DELETE", `${QUEUE}/durables/{durable}`],
  dead_letter_list: ["GET", `${QUEUE}/dead_letters`],
  dead_letter_return: ["POST", `${QUEUE}/dead_letters/return`],
};

const ANSWERS = {
  message_post: ({resources}) => ({message_ids: resources.map(last)}),
  message_get: messages => ({messages}),
  claim_create: ({messages = []}) => ({claim_id: messages[0]?.href.split("=").pop() ?? null, messages}),
};

/** As an id, which sorts before all others. */
const asId = marker => (marker === "earliest" ? "" : marker);

const last = href => href.split("/").pop();

function request(action, fields) {
  const [method, template, ...queried] = ACTIONS[action];
  const rest = {...fields};
  const path = template.replace(/{(\w+)}/g, (_, name) => {
    const value = fields[name];
    delete rest[name];
    // A browser takes dots out of a path.
    if (!value || /^\.\.?$/.test(value)) throw new ZaqarError(400, `${name} is ${value}: not over HTTP`, action);
    return encodeURIComponent(value);
  });
  const bodiless = method === "GET" || method === "DELETE";
  const query = [];
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || !(bodiless || queried.includes(name))) continue;
    query.push(`${name === "message_ids" ? "ids" : name}=${encodeURIComponent(value)}`);
    delete rest[name];
  }
  const body = action === "queue_create" ? rest.metadata : bodiless ? undefined : rest;
  return [method, query.length ? `${path}?${query.join("&")}` : path, body];
}

/** JSON, or the beginning of what is none, such as the page of a proxy. */
function parsed(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return {error: text.slice(0, 200)};
  }
}

/** The events of a stream, and `{}` for each sign of life. */
async function* read(stream) {
  const reader = stream.getReader();
  const text = new TextDecoder();
  let rest = "";
  let event = {};
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const lines = (rest + text.decode(value, {stream: true})).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      const [, name, content] = /^([^:]*):? ?(.*)$/.exec(line);
      if (line) event[name] = name === "data" && name in event ? `${event.data}\n${content}` : content;
      else {
        yield event;
        event = {};
      }
    }
    yield {};
  }
}

/** A gateway that is reached by requests. It counts as lost once one cannot reach it. */
class HttpLink {
  transport;
  ordered = false;
  #options;
  #token;
  #ended = new AbortController();
  #closed = deferred();
  closed = this.#closed.promise;

  constructor(options) {
    this.#options = options;
    this.transport = options.events ? "sse" : "poll";
  }

  async open() {
    const {status} = await this.fetch("GET", "/v2/ping", undefined, {timeout: this.#options.connectTimeout});
    if (status >= 500) throw new ZaqarError(0, `the gateway is not ready: ${status}`);
  }

  async authenticate(token) {
    this.#token = token;
    return {status: 200, body: {}};
  }

  async call(action, fields, signal) {
    if (!ACTIONS[action]) throw new ZaqarError(501, `${action} needs a WebSocket`, action);
    const {status, body} = await this.fetch(...request(action, fields), {action, signal});
    if (action === "message_get_many" && status === 404) return {status: 200, body: {messages: []}};
    return {status, body: status < 300 && ANSWERS[action] ? ANSWERS[action](body) : body};
  }

  async fetch(method, path, body, {timeout = this.#options.timeout, action = `${method} ${path}`, signal, type} = {}) {
    const content = JSON.stringify(body);
    const [stop, free] = this.#stopper(signal);
    const timer = setTimeout(() => stop.abort(), timeout);
    try {
      const answer = await this.#fetch(path, {method, body: content, signal: stop.signal}, type);
      return {status: answer.status, body: parsed(await answer.text())};
    } catch (error) {
      if (!signal?.aborted) this.close("the gateway cannot be reached");
      throw new ZaqarError(0, `no answer: ${error.message}`, action, true);
    } finally {
      clearTimeout(timer);
      free();
    }
  }

  /** The events at a path as they come; whoever does not ask for the next one holds the gateway back. */
  async *events(path, signal) {
    const [stop, free] = this.#stopper(signal);
    let timer = setTimeout(() => stop.abort(), this.#options.connectTimeout);
    try {
      const answer = await this.#fetch(path, {signal: stop.signal});
      if (!answer.ok) throw refusal({status: answer.status, body: parsed(await answer.text())}, "message_events");
      for await (const event of read(answer.body)) {
        clearTimeout(timer);
        yield event;
        timer = setTimeout(() => stop.abort(), SILENCE_MS);
      }
    } finally {
      clearTimeout(timer);
      free();
      stop.abort();
    }
  }

  #fetch(path, options, type = "application/json") {
    const {url, fetch, headers} = this.#options;
    const more = {...headers};
    if (this.#token) more["X-Auth-Token"] = this.#token;
    if (options.body) more["Content-Type"] = type;
    return fetch(url + path, {...options, headers: more, cache: "no-store"});
  }

  /** What stops a request by itself, with this link, or by a signal; and what forgets all that. */
  #stopper(signal) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    const signals = signal ? [signal, this.#ended.signal] : [this.#ended.signal];
    for (const one of signals) {
      if (one.aborted) abort();
      one.addEventListener("abort", abort);
    }
    return [stop, () => signals.forEach(one => one.removeEventListener("abort", abort))];
  }

  attach(subscription, hooks) {
    return new Followed(this, subscription, hooks);
  }

  poll() {
    if (!this.#options.polls) throw new ZaqarError(501, "events do not come through, and polling is not allowed");
    this.transport = "poll";
    this.#options.onPoll();
  }

  close(reason = "closed here") {
    this.#closed.resolve({code: 1000, reason});
    this.#ended.abort();
  }
}

/** A subscription that is followed by requests, and settled here alone. */
class Followed {
  /** It reads no further than there is room. */
  waits = true;
  #link;
  #subscription;
  #hooks;
  #stop = new AbortController();
  /** The id after which it goes on; empty for the oldest. */
  #at;
  #began = deferred();

  constructor(link, subscription, hooks) {
    this.#link = link;
    this.#subscription = subscription;
    this.#hooks = hooks;
    link.closed.then(() => this.#stop.abort());
  }

  async start() {
    const {options, explicit} = this.#subscription;
    const {claim, durable = null} = options;
    const window = explicit ? this.#subscription.window : null;
    const {signal} = this.#stop;
    if (claim) {
      const renewing = setInterval(() => this.#renew(), (claim.ttl * 1000) / 3);
      signal.addEventListener("abort", () => clearInterval(renewing));
      this.#began.resolve();
    } else this.#at = await this.#place();
    this.#run().catch(error => {
      this.#began.reject(error);
      if (!signal.aborted) this.#subscription.fail(error);
    });
    signal.addEventListener("abort", () => this.#began.reject(new ZaqarError(0, "the connection has ended")));
    await this.#began.promise;
    return {marker: this.#at ?? null, durable, window, resumed: false};
  }

  /** Where to begin; `undefined`: at the latest, which a stream tells. */
  async #place() {
    const {options, cursor} = this.#subscription;
    const {start = "latest", durable} = options;
    if (cursor !== undefined) return cursor;
    const {body} = durable ? await this.#call("durable_list") : {body: {}};
    const found = body.durables?.find(({name}) => name === durable);
    return found ? asId(found.marker) : start === "latest" ? undefined : asId(start);
  }

  async #latest() {
    const {status, body} = await this.#call("queue_get_stats");
    if (status === 200) return body.messages.newest ? last(body.messages.newest.href) : "";
    // Whoever may not see the counts reads to the end.
    let marker = "";
    for await (const {id} of this.#pages("", 0)) marker = id ?? marker;
    return marker;
  }

  async #run() {
    const {signal} = this.#stop;
    for (let tries = 0; !signal.aborted; ) {
      let heard = false;
      try {
        for await (const frame of this.#coming()) {
          heard = true;
          tries = 0;
          this.#at = frame.id || this.#at;
          if (this.#at !== undefined) this.#began.resolve();
          if (frame.Message_Type) this.#subscription.take(frame);
          await this.#subscription.room;
          if (signal.aborted) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        const {status} = error;
        if (status === 401 && tries < 2) await this.#hooks.renew();
        else if (status === 404 && this.#link.transport === "sse") this.#link.poll();
        else if (status && status < 500 && status !== 429) throw error;
        // Where the gateway can be reached, it is the stream that does not come through.
        else if (!status && (await this.#reached()) && !heard && tries) this.#link.poll();
      }
      await sleep(pause(this.#hooks.backoff, tries++), signal);
    }
  }

  #reached() {
    return this.#link.open().then(() => true, () => false);
  }

  #coming() {
    if (this.#subscription.isWorker) return this.#tasks();
    return this.#link.transport === "sse" ? this.#events() : this.#polled();
  }

  async *#polled() {
    this.#at ??= await this.#latest();
    this.#began.resolve();
    yield* this.#pages(this.#at, WAIT_S);
  }

  async *#events() {
    const {queue, options} = this.#subscription;
    const marker = this.#at === undefined ? "" : `&marker=${this.#at || "earliest"}`;
    const path = `/v2/queues/${encodeURIComponent(queue)}/events?echo=${options.echo ?? true}${marker}`;
    for await (const {event, data, id} of this.#link.events(path, this.#stop.signal)) {
      if (event === "message") yield {Message_Type: "Message", ...JSON.parse(data)};
      else if (event === "gap") yield {Message_Type: "Gap", ...JSON.parse(data)};
      else if (event === "end" && data.includes("Authentication")) await this.#hooks.renew();
      else yield {id};
    }
  }

  /** Page after page, and what comes meanwhile; without `wait`, to the end. */
  async *#pages(marker, wait) {
    const all = {include_claimed: true, include_delayed: true, echo: this.#subscription.options.echo ?? true};
    for (;;) {
      const more = {marker: marker || undefined, wait: wait || undefined};
      const {messages, links} = await this.#wait("message_list", {...all, limit: PAGE, ...more});
      for (const message of messages) yield {Message_Type: "Message", ...message};
      const next = messages.at(-1)?.id ?? /[?&]marker=([^&]*)/.exec(links[0]?.href)?.[1];
      if (!next && !wait) return;
      marker = next ?? marker;
      yield {};
    }
  }

  /** Tasks, one in a claim, so that each can be given back by itself. */
  async *#tasks() {
    for (;;) {
      const asked = {...this.#subscription.options.claim, limit: 1, wait: WAIT_S};
      const {claim_id, messages} = await this.#wait("claim_create", asked);
      for (const message of messages) {
        this.#subscription.claims.set(message.id, claim_id);
        yield {Message_Type: "Message", ...message, claim_id};
      }
      yield {};
    }
  }

  #renew() {
    for (const claim_id of this.#subscription.claims.values()) {
      this.#call("claim_update", {claim_id, ...this.#subscription.options.claim}).catch(() => {});
    }
  }

  async acknowledge(ids) {
    let counted = true;
    for (const id of this.#subscription.isWorker ? ids : []) {
      const {status} = await this.#call("message_delete", {message_id: id, claim_id: this.#subscription.claims.get(id)});
      this.#subscription.claims.delete(id);
      counted = status < 300;
    }
    return counted;
  }

  async refuse(message, delay) {
    await sleep(delay * 1000, this.#stop.signal);
    if (this.#subscription.isWorker) await this.#release(message.id);
    else this.#subscription.take({...message, Message_Type: "Message"});
    return true;
  }

  async #release(id) {
    const claim_id = this.#subscription.claims.get(id);
    this.#subscription.claims.delete(id);
    if (claim_id) await this.#link.call("claim_delete", {queue_name: this.#subscription.queue, claim_id});
  }

  /** Nothing comes again by itself here. */
  async extend() {
    return true;
  }

  async stop() {
    this.#stop.abort();
    await Promise.all([...this.#subscription.claims.keys()].map(id => this.#release(id)));
  }

  #call(action, fields) {
    return this.#link.call(action, {queue_name: this.#subscription.queue, ...fields}, this.#stop.signal);
  }

  async #wait(action, fields) {
    const began = Date.now();
    const answer = await this.#call(action, fields);
    if (answer.status >= 300) throw refusal(answer, action);
    // A gateway that stops does not wait.
    if (fields.wait && !answer.body.messages[0] && Date.now() - began < 1000) await sleep(1000, this.#stop.signal);
    return answer.body;
  }
}

// -- what is owed to the application ----------------------------------------------------------------------------------

const BUFFER_MAX = 1000;

const SAY_AGAIN_MS = 1000;

const EARLY_MS = 30000;

/** How long a gateway knows the key of a post by default. */
const KEY_WINDOW_MS = 3600000;

const CLOSE_MS = 2000;

/** What may be asked again where an answer was lost, since the second time changes nothing. */
const REPEATABLE = /_(get|get_many|get_stats|list|update)$|^(queue_create|message_delete|claim_delete)$/;

const HELD = 1;
const REFUSED = 2;
const SETTLED = 3;

/** Pages without TLS have no crypto.randomUUID, and React Native has no crypto. */
function uuid() {
  const {crypto} = globalThis;
  const byte = () => crypto?.getRandomValues(new Uint8Array(1))[0] ?? Math.random() * 256;
  return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => (byte() & 15).toString(16));
}

class Message {
  #subscription;

  constructor(frame, subscription, redelivered = frame.redelivered ?? false) {
    const {id, body, ttl, age, claim_id = null, claim_count = null} = frame;
    this.#subscription = subscription;
    Object.assign(this, {id, queue: subscription.queue, body, ttl, age, redelivered});
    Object.assign(this, {claimId: claim_id, claimCount: claim_count});
  }

  ack() {
    return this.#subscription.settle(this);
  }

  done() {
    return this.ack();
  }

  refuse(delay = 0) {
    return this.#subscription.refuse(this, delay);
  }

  extend(seconds) {
    return this.#subscription.extend(this, seconds);
  }
}

/** Each message once and in order. Ids sort as messages do: up to `cursor` all is settled, what came after is in `#known`. */
class Subscription {
  cursor;
  ended = false;
  /** Of tasks, by message. */
  claims = new Map();
  #attachment = null;
  #hooks;
  #known = new Map();
  #held = 0;
  #unsaid = [];
  #saying = false;
  #buffer = [];
  #waiters = [];
  #room = deferred();
  #stopping = null;
  #error = null;
  #why;
  #ready = deferred();
  ready = this.#ready.promise;

  constructor(queue, options, hooks) {
    const {claim, durable, acknowledge = durable ? "explicit" : "none"} = options;
    this.queue = queue;
    this.options = options;
    this.isWorker = Boolean(claim);
    this.explicit = this.isWorker || acknowledge === "explicit";
    this.#hooks = hooks;
  }

  // -- for connections -----------------------------------------------------------------------------------------------

  get wantsLink() {
    return !this.#attachment && !this.#stopping && !this.ended;
  }

  get window() {
    return this.options.window ?? 100;
  }

  get isLive() {
    return Boolean(this.#attachment?.id);
  }

  request() {
    const {start = "latest", onGap, ...fields} = this.options;
    const place = this.isWorker ? {} : {start: this.cursor === "" ? "earliest" : this.cursor ?? start};
    return {queue_name: this.queue, ...place, ...fields};
  }

  async attach(attachment) {
    this.#attachment = attachment;
    const live = await attachment.start();
    // Messages may come before the answer that says where.
    if (!this.isWorker) this.cursor ??= asId(live.marker);
    this.#ready.resolve(live);
    this.#say();
  }

  detach() {
    this.#attachment = null;
  }

  /** What to wait for before reading on, where a connection can wait. */
  get room() {
    const full = this.explicit ? this.#held >= this.window : this.#buffer.length >= BUFFER_MAX;
    return full && !this.ended ? this.#room.promise : undefined;
  }

  take(frame) {
    if (!this.#attachment || this.ended) return;
    const {id, after, continues_at: continuesAt} = frame;
    if (frame.Message_Type === "Gap") return this.#offer({after, continuesAt});
    const link = this.#attachment;
    if (!this.isWorker && this.cursor >= id) return this.#confirm(id);
    if (!this.explicit) {
      this.cursor = id;
      this.#offer(new Message(frame, this));
      if (this.#buffer.length >= BUFFER_MAX && !link.waits) this.#pause(link);
      return;
    }
    const known = this.#known.get(id);
    if (known?.state === SETTLED) return this.#confirm(id);
    if (known?.state === HELD) {
      const isElsewhere = known.link !== link;
      known.link = link;
      known.message.claimId = frame.claim_id ?? null;
      // On the same connection its deadline has passed.
      if (isElsewhere || this.#buffer.includes(known.message)) return;
    } else this.#held++;
    const message = new Message(frame, this, known ? true : frame.redelivered);
    this.#known.set(id, {message, link, state: HELD});
    this.#offer(message);
  }

  #confirm(id) {
    if (!this.explicit || this.#unsaid.some(one => one.id === id)) return;
    this.#unsaid.push({id, ...deferred()});
    this.#say();
  }

  /** Have no more sent until the application has caught up. What is under way is dropped, and comes again. */
  #pause(link) {
    this.#attachment = null;
    this.#stopping = link.stop().catch(() => {}).then(() => {
      this.#stopping = null;
      this.#resume();
    });
  }

  #resume() {
    if (this.#buffer.length <= BUFFER_MAX / 4 && this.wantsLink) this.#hooks.attach(this);
  }

  fail(error) {
    if (this.ended) return;
    this.#error = this.#why = error;
    this.#finish(error);
    this.#hooks.release(this);
  }

  // -- for messages --------------------------------------------------------------------------------------------------

  async settle({id}) {
    const known = this.#known.get(id);
    if (!known) return !this.isWorker;
    if (this.#why) throw this.#why;
    if (this.ended) return false;
    if (known.state === HELD) this.#held--;
    if (known.state !== SETTLED) {
      known.state = SETTLED;
      known.said = {id, ...deferred()};
      this.#unsaid.push(known.said);
      this.#advance();
      this.#makeRoom();
      this.#say();
    }
    return known.said.promise;
  }

  async refuse(message, delay) {
    const known = this.#known.get(message.id);
    if (!this.explicit) throw new ZaqarError(400, "only what is acknowledged can be refused", "message_refuse");
    if (delay >>> 0 !== delay || delay > 43200) throw new ZaqarError(400, `delay ${delay} is not 0 to 43200`, "message_refuse");
    if (known?.state !== HELD || known.message !== message) return false;
    known.state = REFUSED;
    this.#held--;
    if (this.isWorker) this.#known.delete(message.id);
    this.#makeRoom();
    return this.#tell("refuse", message, delay);
  }

  extend(message, seconds) {
    return this.#tell("extend", message, seconds);
  }

  /** Where the connection is lost, it comes again anyway. */
  async #tell(what, ...more) {
    try {
      return (await this.#attachment?.[what]?.(...more)) ?? false;
    } catch (error) {
      if (error.status) throw error;
      return false;
    }
  }

  #advance() {
    for (const [id, {state}] of this.isWorker ? [] : this.#known) {
      if (state !== SETTLED) break;
      this.#known.delete(id);
      this.cursor = id;
    }
  }

  /** Tell the gateway what is settled: one request at a time, and in it all that has come together. */
  async #say() {
    const link = this.#attachment;
    if (this.#saying || !this.#unsaid.length || !link) return;
    this.#saying = true;
    const batch = this.#unsaid.splice(0, this.isWorker ? 1 : 500);
    try {
      const counted = await link.acknowledge(batch.map(({id}) => id));
      for (const {id, resolve} of batch) {
        resolve(counted);
        // A task that was not ours any more may come again, and is done already.
        if (this.isWorker && counted) this.#known.delete(id);
      }
    } catch (error) {
      const {status} = error;
      const passes = status === 429 || status >= 500;
      if (!this.ended && (passes || !status || status === 404)) this.#unsaid.unshift(...batch);
      else for (const {reject} of batch) reject(this.#why ?? error);
      if (passes) await sleep(SAY_AGAIN_MS);
      else if (link === this.#attachment && (!status || status === 404)) this.#attachment = null;
      if (status === 404) this.#hooks.attach(this);
    }
    this.#saying = false;
    this.#say();
  }

  // -- for the application -------------------------------------------------------------------------------------------

  async resize(window) {
    this.options = {...this.options, window};
    this.#makeRoom();
    await this.#tell("resize", window);
  }

  async next() {
    for (;;) {
      if (this.#buffer.length) {
        const item = this.#buffer.shift();
        this.#makeRoom();
        this.#resume();
        if (item instanceof Message) return {value: item, done: false};
        this.#gap(item);
      } else if (this.#error) {
        const error = this.#error;
        this.#error = null;
        throw error;
      } else if (this.ended) return {value: undefined, done: true};
      else await new Promise(resolve => this.#waiters.push(resolve));
    }
  }

  async return() {
    await this.close();
    return {value: undefined, done: true};
  }

  async close() {
    if (!this.ended) this.closing = this.#close();
    await this.closing;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async #close() {
    const link = this.#attachment;
    const unsaid = this.#unsaid.splice(0);
    this.#finish(new ZaqarError(0, "the subscription is closed", "subscription_create"));
    const counted = link && unsaid.length ? await link.acknowledge(unsaid.map(({id}) => id)).catch(() => false) : false;
    for (const {resolve} of unsaid) resolve(counted);
    await (this.#stopping ?? link?.stop().catch(() => {}));
    this.#hooks.release(this);
  }

  #finish(error) {
    this.ended = true;
    this.#attachment = null;
    this.#buffer = this.#error ? this.#buffer : [];
    for (const {reject} of [this.#ready, ...this.#unsaid.splice(0)]) reject(error);
    for (const wake of this.#waiters.splice(0)) wake();
    this.#makeRoom();
  }

  #offer(item) {
    this.#buffer.push(item);
    this.#waiters.shift()?.();
  }

  #makeRoom() {
    this.#room.resolve();
    this.#room = deferred();
  }

  #gap(gap) {
    const {onGap} = this.options;
    if (onGap) onGap(gap);
    else console.warn(`zaqar: messages of ${this.queue} were removed before they were read, after ${gap.after}`);
  }
}

export class Zaqar {
  #options;
  #state;
  #headers;
  #transport;
  #link = null;
  #blocked = 0;
  #streams = true;
  #token;
  #renewing = null;
  #renewal;
  #entries = new Set();
  #postsWait = false;
  #subscriptions = new Map();
  #closed = new AbortController();
  #waking = new AbortController();
  #wake = () => globalThis.document?.visibilityState !== "hidden" && this.wake();

  constructor(options) {
    const {WebSocket, fetch, location} = globalThis;
    const settings = {
      url: location?.origin,
      clientId: uuid(),
      encoding: "json",
      offlineQueue: 1000,
      timeout: 60000,
      connectTimeout: 10000,
      heartbeat: 10000,
      upgradeAfter: 60000,
      WebSocket,
      fetch: (...request) => fetch(...request),
      ...options,
      backoff: {initial: 1000, max: 30000, factor: 2, ...options.backoff},
    };
    const {share, url, clientId, project = share?.project, encoding} = settings;
    const hasSockets = settings.WebSocket && !share;
    settings.transports ??= hasSockets ? ["websocket", "sse", "poll"] : ["sse", "poll"];
    const {transports} = settings;
    const check = (isRight, wrong) => {
      if (!isRight) throw new TypeError(wrong);
    };
    const isWay = one => ["websocket", "sse", "poll"].includes(one);
    check(/^(ws|http)s?:\/\//.test(url), `url is ${url}: give ws(s)://... or http(s)://...`);
    check(typeof project === "string", "project is missing: give the id of one");
    check(["json", "msgpack"].includes(encoding), `encoding is ${encoding}: give json or msgpack`);
    check(transports.length && transports.every(isWay), `transports is [${transports}]: give some of websocket, sse, poll`);
    check(hasSockets || !transports.includes("websocket"), "there is no WebSocket here, or none for a share: leave it out");
    this.clientId = clientId;
    this.#options = settings;
    this.#transport = transports[0];
    this.#headers = {"Client-ID": clientId, "X-Project-ID": project};
    const {signature, expires, methods, paths} = share ?? {};
    if (share) {
      const signed = {"URL-Signature": signature, "URL-Expires": expires, "URL-Methods": methods + "", "URL-Paths": paths + ""};
      Object.assign(this.#headers, signed);
    }
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#run();
  }

  // -- for the application -------------------------------------------------------------------------------------------

  async post(queue, what, {ttl, delay, key = uuid()} = {}) {
    const areMessages = Array.isArray(what) && what.length && what.every(one => one && Object.hasOwn(one, "body"));
    const messages = (areMessages ? what : [{body: what}]).map(one => ({ttl, delay, ...one}));
    const {length} = this.#posts;
    if (length >= this.#options.offlineQueue) {
      throw new ZaqarError(0, `${length} posts wait, as many as offlineQueue allows`, "message_post");
    }
    const body = {queue_name: queue, messages, idempotency_key: key};
    return (await this.#ask("message_post", body, true)).message_ids;
  }

  async flush() {
    while (this.#posts.length) await Promise.allSettled(this.#posts.map(({promise}) => promise));
  }

  async action(name, body = {}) {
    return this.#ask(name, body, false);
  }

  async request(method, path, body, {type} = {}) {
    for (let tries = 0; ; tries++) {
      const http = this.#http();
      if (this.#options.token) await http.authenticate(this.#token ?? (await this.#fresh(tries ? "refused" : "connect")));
      const answer = await http.fetch(method, path, body, {type});
      if (answer.status < 400) return answer;
      if (answer.status !== 401 || !this.#options.token || tries) throw refusal(answer, `${method} ${path}`);
      this.#token = undefined;
    }
  }

  subscribe(queue, options = {}) {
    const before = this.#subscriptions.get(queue);
    if (this.#closed.signal.aborted) throw new ZaqarError(0, "the client is closed", "subscription_create");
    if (before && !before.ended) throw new ZaqarError(409, `this client follows ${queue} already`, "subscription_create");
    const subscription = new Subscription(queue, options, {
      attach: one => this.#attach(one),
      release: one => this.#subscriptions.get(queue) === one && this.#subscriptions.delete(queue),
    });
    this.#subscriptions.set(queue, subscription);
    // Until its forerunner has ended, what is pushed for the queue belongs to that.
    if (before) before.closing.then(() => this.#attach(subscription));
    else this.#attach(subscription);
    return subscription;
  }

  listen(queue, options, call, {onError = error => console.error("zaqar:", error), onGap} = {}) {
    const subscription = this.subscribe(queue, {onGap, ...options});
    this.#serve(subscription, call, onError);
    return () => subscription.close();
  }

  work(queue, {ttl = 60, grace = 60, window = 1} = {}) {
    return this.subscribe(queue, {claim: {ttl, grace}, window});
  }

  wake() {
    this.#waking.abort();
    this.#waking = new AbortController();
    this.#link?.probe?.(5000);
  }

  async close() {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    clearTimeout(this.#renewal);
    const enough = new AbortController();
    const ends = Promise.all(Array.from(this.#subscriptions.values(), one => one.close()));
    await Promise.race([ends, sleep(CLOSE_MS, enough.signal)]);
    enough.abort();
    for (const entry of this.#entries) {
      this.#settle(entry, "reject", new ZaqarError(0, "the client is closed", entry.action, entry.sent));
    }
    this.#waking.abort();
    this.#link?.close();
    this.#status("closed");
  }

  // -- connections ---------------------------------------------------------------------------------------------------

  async #run() {
    const {signal} = this.#closed;
    const {backoff} = this.#options;
    for (let tries = 0; !signal.aborted; ) {
      let link;
      let error;
      this.#status("connecting");
      try {
        link = await this.#open(this.#transport);
      } catch (found) {
        error = found;
        if (await this.#goesOtherWay(error)) continue;
      }
      while (link) {
        const began = Date.now();
        const {code, reason, next} = await this.#use(link);
        if (Date.now() - began > backoff.max || code === 4003) tries = 0;
        if (code === 4003) this.#token = undefined;
        error = new ZaqarError(0, reason || `the connection ended with ${code}`);
        link = next;
      }
      if (signal.aborted) return;
      const retryIn = pause(backoff, tries++);
      this.#status("waiting", {error, retryIn});
      await sleep(retryIn, this.#waking.signal);
    }
  }

  async #open(transport) {
    const {url, WebSocket, encoding, connectTimeout, heartbeat, token} = this.#options;
    if (token && this.#token === undefined) await this.#fresh("connect");
    const link =
      transport === "websocket"
        ? new Socket({
            url: `${url.replace(/^http/, "ws").replace(/\/$/, "")}/`,
            binary: encoding === "msgpack",
            headers: this.#headers,
            push: frame => this.#pushed(frame),
            ...{WebSocket, connectTimeout, heartbeat},
          })
        : this.#http();
    await link.open();
    if (this.#closed.signal.aborted) link.close();
    if (token) await this.#authenticate(link);
    return link;
  }

  #http() {
    const {url, fetch, transports, timeout, connectTimeout} = this.#options;
    const onPoll = () => {
      this.#streams = false;
      this.#status("open");
    };
    return new HttpLink({
      url: url.replace(/^ws/, "http").replace(/\/$/, ""),
      headers: this.#headers,
      events: this.#streams && transports.includes("sse"),
      polls: transports.includes("poll"),
      ...{fetch, timeout, connectTimeout, onPoll},
    });
  }

  /** WebSockets are blocked where they fail again and again while HTTP is answered. */
  async #goesOtherWay(error) {
    const {transports} = this.#options;
    const other = transports.find(one => one !== "websocket");
    if (!(error instanceof ZaqarError) || error.status || !other || !transports.includes("websocket")) return false;
    if (this.#transport !== "websocket") {
      this.#transport = "websocket";
      return false;
    }
    this.#blocked += await this.#http().open().then(() => 1, () => -this.#blocked);
    if (this.#blocked < 2) return false;
    this.#blocked = 1;
    this.#transport = other;
    return true;
  }

  /** Use a link until it ends, or until there is a better one: `next`. */
  async #use(link) {
    this.#link = link;
    this.#status("open");
    for (const subscription of this.#subscriptions.values()) this.#attach(subscription);
    this.#pump();
    const over = new AbortController();
    const end = await Promise.race([link.closed, this.#better(link, over.signal)]);
    over.abort();
    this.#link = null;
    for (const subscription of this.#subscriptions.values()) subscription.detach();
    if (end.next) {
      this.#transport = "websocket";
      link.close();
    }
    return end;
  }

  async #better(link, signal) {
    const {transports, upgradeAfter} = this.#options;
    while (!link.ordered && transports.includes("websocket")) {
      await sleep(upgradeAfter * (0.5 + Math.random() / 2), signal);
      if (signal.aborted) break;
      const next = await this.#open("websocket").catch(() => null);
      if (next && !signal.aborted) return {next};
      next?.close();
    }
    return new Promise(() => {});
  }

  #status(state, more) {
    this.#state = {state, transport: this.#link?.transport ?? null, ...more};
    this.#options.onStatus?.(this.status);
  }

  get status() {
    return {...this.#state, waiting: this.#posts.length};
  }

  // -- tokens --------------------------------------------------------------------------------------------------------

  /** Why: "connect", "expiring" or "refused". */
  async #fresh(why) {
    const {token} = this.#options;
    const given = typeof token === "function" ? await token(why) : token;
    const {token: text, expires} = typeof given === "string" ? {token: given} : given;
    this.#token = text;
    clearTimeout(this.#renewal);
    if (expires !== undefined && !this.#closed.signal.aborted) {
      const left = new Date(expires) - Date.now();
      const wait = Math.min(2 ** 31 - 1, Math.max(left - EARLY_MS, left / 2, 1000));
      this.#renewal = setTimeout(() => this.#renew("expiring").catch(() => {}), wait);
    }
    return text;
  }

  async #authenticate(link) {
    const answer = await link.authenticate(this.#token);
    if (answer.status < 300) return;
    this.#token = undefined;
    link.close("authentication failed");
    throw refusal(answer, "authenticate");
  }

  /** Have the owner of a new token speak on the link there is; once for all who find that somebody has to. */
  #renew(why) {
    this.#renewing ??= (async () => {
      try {
        if (!this.#options.token) throw new ZaqarError(401, "the gateway wants a token: give one as option", "authenticate");
        await this.#fresh(why);
        if (this.#link) await this.#authenticate(this.#link);
      } finally {
        this.#renewing = null;
      }
    })();
    return this.#renewing;
  }

  // -- actions -------------------------------------------------------------------------------------------------------

  get #posts() {
    return [...this.#entries].filter(({isPost}) => isPost);
  }

  #ask(action, body, isPost) {
    const repeats = body.idempotency_key !== undefined || REPEATABLE.test(action);
    const entry = {action, body, isPost, repeats, sent: false, renewed: false, tries: 0, doubtedAt: 0, ...deferred()};
    this.#entries.add(entry);
    if (!isPost) {
      const {timeout} = this.#options;
      const late = () => new ZaqarError(0, `no answer within ${timeout / 1000} s`, action, entry.sent);
      entry.timer = setTimeout(() => this.#settle(entry, "reject", late()), timeout);
    }
    if (this.#closed.signal.aborted) this.#settle(entry, "reject", new ZaqarError(0, "the client is closed", action));
    else this.#pump();
    return entry.promise;
  }

  #settle(entry, how, value) {
    clearTimeout(entry.timer);
    this.#entries.delete(entry);
    entry[how](value);
  }

  /** Send what has not been sent: posts in their order, so one after the other where they could overtake. */
  #pump() {
    const link = this.#link;
    let postsWait = this.#postsWait;
    for (const entry of link ? this.#entries : []) {
      if (!entry.sent && !(entry.isPost && postsWait)) this.#send(entry, link);
      postsWait ||= entry.isPost && !link.ordered;
    }
  }

  async #send(entry, link) {
    const {action, body, isPost} = entry;
    if (entry.doubtedAt && Date.now() - entry.doubtedAt > KEY_WINDOW_MS) {
      const error = new ZaqarError(0, "no answer came, and it is too late to ask again", action, true);
      return this.#settle(entry, "reject", error);
    }
    entry.sent = true;
    let answer;
    try {
      answer = await link.call(action, body);
    } catch (error) {
      if (error.status !== 0 || (error.unknown && !entry.repeats)) return this.#settle(entry, "reject", error);
      if (error.unknown) entry.doubtedAt ||= Date.now();
      entry.sent = false;
      if (link !== this.#link) this.#pump();
      return;
    }
    const {status} = answer;
    if (status < 300) this.#settle(entry, "resolve", answer.body);
    else if (unauthenticated(answer) && !entry.renewed && this.#options.token) {
      entry.renewed = true;
      await this.#renew("refused").catch(() => {});
      entry.sent = false;
    } else if (isPost && (status === 429 || status === 503)) {
      if (status === 503) entry.doubtedAt ||= Date.now();
      entry.sent = false;
      // Those behind it wait as well, so that they stay in order.
      if (this.#postsWait) return;
      this.#postsWait = true;
      await sleep(pause(this.#options.backoff, entry.tries++), this.#closed.signal);
      this.#postsWait = false;
    } else this.#settle(entry, "reject", refusal(answer, action));
    this.#pump();
  }

  // -- subscriptions -------------------------------------------------------------------------------------------------

  async #attach(subscription) {
    const link = this.#link;
    if (!link || !subscription.wantsLink) return;
    try {
      const hooks = {renew: () => this.#renew("refused"), backoff: this.#options.backoff};
      await subscription.attach(link.attach(subscription, hooks));
    } catch (error) {
      // Without a status the connection is gone, and the next one does it again.
      if (error.status) subscription.fail(error);
    }
  }

  #pushed(frame) {
    const subscription = this.#subscriptions.get(frame.queue_name);
    if (!["Message", "Gap", "End"].includes(frame.Message_Type)) this.#options.onPush?.(frame);
    else if (frame.Message_Type !== "End") subscription?.take(frame);
    // Else it is the end of a forerunner.
    else if (subscription?.isLive) {
      if (/taken over/i.test(frame.reason)) return subscription.fail(new ZaqarError(409, frame.reason, "subscription_create"));
      subscription.detach();
      sleep(pause(this.#options.backoff, 1)).then(() => this.#attach(subscription));
    }
  }

  async #serve(subscription, call, onError) {
    try {
      for await (const message of subscription) {
        try {
          await call(message);
          message.ack().catch(onError);
        } catch (error) {
          onError(error, message);
          if (subscription.explicit) message.refuse(1).catch(onError);
        }
      }
    } catch (error) {
      onError(error);
    }
  }
}

// zaqar.queueCreate("tasks", {metadata}) is the action queue_create, and so on.
for (const action of Object.keys(ACTIONS)) {
  const name = action.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  Zaqar.prototype[name] =
    action === "queue_list"
      ? function (fields) { return this.action(action, fields); }
      : function (queue, fields) { return this.action(action, {queue_name: queue, ...fields}); };
}
