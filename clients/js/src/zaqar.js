// Apache License 2.0. See zaqar.d.ts.

import {decode, encode} from "./msgpack.js";

export class ZaqarError extends Error {
  constructor(status, message, action = "", unknown = false) {
    super(message);
    Object.assign(this, {name: "ZaqarError", status, action, unknown});
  }
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, {resolve, reject}));
  made.promise.catch(() => {});
  return made;
}

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

/** A 403 of the policy is another one. */
const unauthenticated = ({status, body}) =>
  status === 401 || (status === 403 && !body.exception && /^Not authent/.test(body.error));

function refusal({status, body}, action) {
  const text = body.error || body.exception || body.description || body.title || `refused with ${status}`;
  return new ZaqarError(status, text.message ?? text, action);
}

const busy = status => status === 429 || status === 503;

const complain = error => console.error("zaqar:", error);

/** The failure of what the application gave is not ours. */
async function notify(call, ...what) {
  try {
    await call?.(...what);
  } catch (error) {
    complain(error);
  }
}

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
      const socket = new WebSocket(`${url.replace(/^http/, "ws")}/`);
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
    setTimeout(() => this.#quiet && this.#giveUp(), within);
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
    if (this.#quiet && this.#asked) return this.#giveUp();
    this.#asked = this.#quiet;
    if (this.#quiet) this.#ping();
    this.#quiet = true;
  }

  /** What waits for messages holds back all replies behind it. */
  #giveUp() {
    if (!this.#pending.some(({until}) => until > Date.now())) this.close("nothing is heard of the gateway");
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
        const {encoding, heartbeat} = this.#options;
        const frame = encoding === "msgpack" ? encode(document) : JSON.stringify(document);
        answer.size = frame.length;
        answer.until = Date.now() + document.body.wait * 1000 + heartbeat;
        this.#socket.send(frame);
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
    const pending = this.#pending.splice(0);
    // A frame was too long, and would be again.
    const [longest] = code === 1009 ? [...pending].sort((one, other) => other.size - one.size) : [];
    longest?.reject(new ZaqarError(413, reason || "the frame is too long", longest.action));
    for (const {action, reject} of pending) {
      reject(new ZaqarError(0, "the connection has ended", action, true));
    }
    this.#closed.resolve({code, reason});
  }
}

class Attachment {
  constructor(link, subscription, hooks) {
    Object.assign(this, {link, subscription, hooks});
  }
}

class Pushed extends Attachment {
  id;
  #started;

  start() {
    return (this.#started = this.#start());
  }

  async #start() {
    for (let tries = 0; ; tries++) {
      const answer = await this.link.call("subscription_create", this.subscription.request());
      const {status, body} = answer;
      if (status === 201 && body.live) {
        this.id = body.subscription_id;
        return body.live;
      }
      if (status === 201) throw new ZaqarError(501, "this gateway has no subscriptions that resume", "subscription_create");
      if (unauthenticated(answer) && !tries) await this.hooks.renew();
      else if (busy(status)) await sleep(pause(this.hooks.backoff, tries));
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

  async stop() {
    await this.#started;
    await this.#ask("subscription_delete", {subscription_id: this.id});
  }

  async #ask(action, fields) {
    const answer = await this.link.call(action, {queue_name: this.subscription.queue, ...fields});
    if (answer.status >= 300) throw refusal(answer, action);
    return answer.body;
  }
}

/** What any gateway allows. */
const WAIT_S = 20;
const PAGE = 20;

const SILENCE_MS = 40000; // the gateway gives a sign of life each 15 s

const QUEUE = "/v2/queues/{queue_name}";
const MESSAGES = `${QUEUE}/messages`;
const CLAIMS = `${QUEUE}/claims`;
const SUBSCRIPTIONS = `${QUEUE}/subscriptions`;

/** Method, path, and members of a body that go into the query. */
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

/** A proxy may answer with a page. */
function parsed(text) {
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    return {error: text.slice(0, 200)};
  }
}

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
      const [name, content] = line.split(/: ?(.*)/s);
      // JSON may have several lines.
      if (line) event[name] = (event[name] ?? "") + content;
      else {
        yield event;
        event = {};
      }
    }
    yield {};
  }
}

/** It counts as lost once a request cannot reach the gateway. */
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
    this.transport = options.streams && options.transports.includes("sse") ? "sse" : "poll";
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
    if (this.#ended.signal.aborted) throw new ZaqarError(0, "the connection has ended", action);
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
    return fetch(url.replace(/^ws/, "http") + path, {...options, headers: more, cache: "no-store"});
  }

  #stopper(signal = this.#ended.signal) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    return [stop, () => signal.removeEventListener("abort", abort)];
  }

  attach(subscription, hooks) {
    return new Followed(this, subscription, hooks);
  }

  poll() {
    const {transports, onPoll} = this.#options;
    if (!transports.includes("poll")) throw new ZaqarError(501, "events do not come through, and polling is not allowed");
    this.transport = "poll";
    onPoll();
  }

  close(reason = "closed here") {
    this.#closed.resolve({code: 1000, reason});
    this.#ended.abort();
  }
}

/** Settled here alone. */
class Followed extends Attachment {
  waits = true;
  #stop = new AbortController();
  /** An id, or empty for the oldest. */
  #at;
  #began = deferred();

  async start() {
    const {options, explicit, window} = this.subscription;
    const {claim, durable = null} = options;
    for (const name of Object.keys(RULES)) if (options[name] !== undefined) check(name, options[name], "subscription_create");
    const {signal} = this.#stop;
    this.link.closed.then(() => this.#stop.abort());
    signal.addEventListener("abort", () => this.#began.reject(new ZaqarError(0, "the connection has ended")));
    if (claim) {
      const renewing = setInterval(() => this.#renew(), (claim.ttl * 1000) / 3);
      signal.addEventListener("abort", () => clearInterval(renewing));
      this.#began.resolve();
    }
    this.#run().catch(error => {
      this.#began.reject(error);
      if (!signal.aborted) this.subscription.fail(error);
    });
    await this.#began.promise;
    return {marker: this.#at ?? null, durable, window: explicit ? window : null, resumed: false};
  }

  /** Where to begin; `undefined`: at the latest, which a stream tells. */
  async #place() {
    const {options, cursor} = this.subscription;
    const {start = "latest", durable} = options;
    if (cursor !== undefined) return cursor;
    const {durables} = durable ? await this.#answer("durable_list", {}) : {durables: []};
    const found = durables.find(({name}) => name === durable);
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
        this.#at ??= await this.#place();
        for await (const frame of this.#coming()) {
          heard = true;
          tries = 0;
          this.#at = frame.id || this.#at;
          if (this.#at !== undefined) this.#began.resolve();
          if (frame.Message_Type) this.subscription.take(frame);
          await this.subscription.room;
          if (signal.aborted) return;
        }
      } catch (error) {
        if (signal.aborted) return;
        const {status} = error;
        if (status === 401 && tries < 2) await this.hooks.renew();
        else if (status === 404 && this.link.transport === "sse") this.link.poll();
        else if (status && status < 500 && status !== 429) throw error;
        // Where the gateway can be reached, it is the stream that does not come through.
        else if (!status && (await this.link.open().then(() => !heard && tries, () => false))) this.link.poll();
      }
      await sleep(pause(this.hooks.backoff, tries++), signal);
    }
  }

  #coming() {
    if (this.subscription.isWorker) return this.#tasks();
    return this.link.transport === "sse" ? this.#events() : this.#polled();
  }

  async *#polled() {
    this.#at ??= await this.#latest();
    this.#began.resolve();
    yield* this.#pages(this.#at, WAIT_S);
  }

  async *#events() {
    const {queue, options} = this.subscription;
    const marker = this.#at === undefined ? "" : `&marker=${this.#at || "earliest"}`;
    const path = `/v2/queues/${encodeURIComponent(queue)}/events?echo=${options.echo ?? true}${marker}`;
    for await (const {event, data, id} of this.link.events(path, this.#stop.signal)) {
      if (event === "message") yield {Message_Type: "Message", ...JSON.parse(data)};
      else if (event === "gap") yield {Message_Type: "Gap", ...JSON.parse(data)};
      else if (event === "end" && data.includes("Authentication")) await this.hooks.renew();
      else yield {id};
    }
  }

  /** Without `wait`, to the end. */
  async *#pages(marker, wait) {
    const all = {include_claimed: true, include_delayed: true, echo: this.subscription.options.echo ?? true};
    for (;;) {
      const more = {marker: marker || undefined, wait: wait || undefined};
      const {messages, links} = await this.#answer("message_list", {...all, limit: PAGE, ...more});
      for (const message of messages) yield {Message_Type: "Message", ...message};
      const next = messages.at(-1)?.id ?? /[?&]marker=([^&]*)/.exec(links[0]?.href)?.[1];
      if (!next && !wait) return;
      marker = next ?? marker;
      yield {};
    }
  }

  async *#tasks() {
    for (;;) {
      const asked = {...this.subscription.options.claim, limit: 1, wait: WAIT_S};
      const {claim_id, messages} = await this.#answer("claim_create", asked);
      for (const message of messages) {
        this.subscription.claims.set(message.id, claim_id);
        yield {Message_Type: "Message", ...message, claim_id};
      }
      yield {};
    }
  }

  #renew() {
    for (const claim_id of this.subscription.claims.values()) {
      this.#call("claim_update", {claim_id, ...this.subscription.options.claim}).catch(() => {});
    }
  }

  async acknowledge(ids) {
    let counted = true;
    for (const id of this.subscription.isWorker ? ids : []) {
      const {status} = await this.#call("message_delete", {message_id: id, claim_id: this.subscription.claims.get(id)});
      this.subscription.claims.delete(id);
      counted = status < 300;
    }
    return counted;
  }

  async refuse(message, delay) {
    await sleep(delay * 1000, this.#stop.signal);
    if (this.subscription.isWorker) await this.#release(message.id);
    else this.subscription.take({...message, Message_Type: "Message"});
    return true;
  }

  async #release(id) {
    const claim_id = this.subscription.claims.get(id);
    this.subscription.claims.delete(id);
    if (claim_id) await this.link.call("claim_delete", {queue_name: this.subscription.queue, claim_id});
  }

  /** Nothing comes again by itself here. */
  async extend() {
    return true;
  }

  async stop() {
    this.#stop.abort();
    await Promise.all([...this.subscription.claims.keys()].map(id => this.#release(id)));
  }

  #call(action, fields) {
    return this.link.call(action, {queue_name: this.subscription.queue, ...fields}, this.#stop.signal);
  }

  async #answer(action, fields) {
    const began = Date.now();
    const answer = await this.#call(action, fields);
    if (answer.status >= 300) throw refusal(answer, action);
    // A gateway that stops does not wait.
    if (fields.wait && !answer.body.messages[0] && Date.now() - began < 1000) await sleep(1000, this.#stop.signal);
    return answer.body;
  }
}

const BUFFER_MAX = 1000;

const SAY_AGAIN_MS = 1000;

const EARLY_MS = 30000;

/** The default of the gateway. */
const KEY_WINDOW_MS = 3600000;

const CLOSE_MS = 2000;

/** The second time changes nothing. */
const REPEATABLE = /_(get|get_many|get_stats|list|update)$|^(queue_create|message_delete|claim_delete)$/;

/** Bounds, or what JSON looks like. On a WebSocket the gateway itself looks at subscriptions. */
const RULES = {
  url: [/^"(ws|http)s?:\/\//, "ws(s)://... or http(s)://..."],
  project: [/^"/, "the id of one"],
  encoding: [/^"(json|msgpack)"$/, "json or msgpack"],
  transports: [/^\[("(websocket|sse|poll)",?)+]$/, "some of websocket, sse, poll"],
  start: [/^"(latest|earliest|[\da-f]{24})"$/, "latest, earliest or the id of a message"],
  durable: [/^"[\w.-]{1,64}"$/, "1 to 64 of A-Z a-z 0-9 _ . -"],
  acknowledge: [/^"(none|explicit)"$/, "none or explicit"],
  echo: [/^(true|false)$/, "true or false"],
  window: [1, 1000],
  deadline: [1, 43200],
  delay: [0, 43200],
  ttl: [60, 1209600],
};

function check(name, value, action) {
  const [low, high] = RULES[name];
  const json = JSON.stringify(value);
  const isRight = low.test ? low.test(json) : /^\d+$/.test(json) && value >= low && value <= high;
  const wrong = `${name} is ${json}: give ${low.test ? high : `a whole number from ${low} to ${high}`}`;
  if (!isRight) throw action ? new ZaqarError(400, wrong, action) : new TypeError(wrong);
}

const HELD = 1;
const REFUSED = 2;
const SETTLED = 3;

/** Pages without TLS have no randomUUID, and React Native has no crypto. */
function uuid() {
  const digit = () => Math.floor(Math.random() * 16).toString(16);
  return globalThis.crypto?.randomUUID?.() ?? "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, digit);
}

class Message {
  #subscription;

  constructor(frame, subscription, redelivered = frame.redelivered ?? false) {
    const {id, body, ttl, age, claim_id = null, claim_count = null} = frame;
    this.#subscription = subscription;
    const {queue} = subscription;
    Object.assign(this, {id, queue, body, ttl, age, redelivered, claimId: claim_id, claimCount: claim_count});
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

/** Ids sort as messages do: up to `cursor` all is settled, what came after is in `#known`. */
class Subscription {
  cursor;
  ended = false;
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
  #warn = ({after}) => console.warn(`zaqar: messages of ${this.queue} were removed before they were read, after ${after}`);

  constructor(queue, options, hooks) {
    const {claim, durable, acknowledge = durable ? "explicit" : "none"} = options;
    this.queue = queue;
    this.options = options;
    this.isWorker = Boolean(claim);
    this.explicit = this.isWorker || acknowledge === "explicit";
    this.#hooks = hooks;
  }

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
    this.#known.set(id, {message, link, state: HELD, expires: Date.now() + (frame.ttl - frame.age + 1) * 1000});
    this.#offer(message);
  }

  #confirm(id) {
    if (!this.explicit || this.#unsaid.some(one => one.id === id)) return;
    this.#unsaid.push({id, ...deferred()});
    this.#say();
  }

  /** What is under way is dropped, and comes again. */
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
    check("delay", delay, "message_refuse");
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
    for (const [id, {state, expires}] of this.isWorker ? [] : this.#known) {
      // What was refused and has expired does not come again.
      if (state === HELD || (state === REFUSED && Date.now() < expires)) break;
      this.#known.delete(id);
      this.cursor = id;
    }
  }

  /** One request at a time, and in it all that has come together. */
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

  async resize(window) {
    check("window", window, "subscription_window");
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
        notify(this.options.onGap ?? this.#warn, item);
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
}

export class Zaqar {
  #options;
  #state;
  #transport;
  #link = null;
  #blocked = 0;
  #streams = true;
  #token;
  #renewing = null;
  #renewal;
  #entries = new Set();
  #posts = new Set();
  #held = 0;
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
    const {share, clientId} = settings;
    const hasSockets = settings.WebSocket && !share;
    settings.project ??= share?.project;
    settings.transports ??= hasSockets ? ["websocket", "sse", "poll"] : ["sse", "poll"];
    const {project, transports} = settings;
    for (const name of ["url", "project", "encoding", "transports"]) check(name, settings[name]);
    if (!hasSockets && transports.includes("websocket")) {
      throw new TypeError("there is no WebSocket here, or none for a share: leave it out");
    }
    settings.url = settings.url.replace(/\/$/, "");
    settings.headers = {"Client-ID": clientId, "X-Project-ID": project};
    for (const name of share ? ["Signature", "Expires", "Methods", "Paths"] : []) {
      settings.headers[`URL-${name}`] = `${share[name.toLowerCase()]}`;
    }
    this.clientId = clientId;
    this.#options = settings;
    this.#transport = transports[0];
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#run();
  }

  async post(queue, what, {ttl, delay, key} = {}) {
    const areMessages = Array.isArray(what) && what.length && what.every(one => one && Object.hasOwn(one, "body"));
    const messages = (areMessages ? what : [{body: what}]).map(one => ({ttl, delay, ...one}));
    const {size} = this.#posts;
    if (size >= this.#options.offlineQueue) {
      throw new ZaqarError(0, `${size} posts wait, as many as offlineQueue allows`, "message_post");
    }
    // The gateway takes one key for all, or one for each.
    if (messages.some(one => one.idempotency_key)) for (const one of messages) one.idempotency_key ??= uuid();
    else key ??= uuid();
    const body = {queue_name: queue, messages, idempotency_key: key};
    return (await this.#ask("message_post", body, true)).message_ids;
  }

  async flush() {
    while (this.#posts.size) await Promise.allSettled(Array.from(this.#posts, ({promise}) => promise));
  }

  async action(name, body = {}) {
    return this.#ask(name, body, false);
  }

  queueList(fields) {
    return this.action("queue_list", fields);
  }

  async request(method, path, body, {type} = {}) {
    for (let tries = 0; ; tries++) {
      const http = this.#http();
      if (this.#options.token) await http.authenticate(this.#token ?? (await this.#fresh()));
      const answer = await http.fetch(method, path, body, {type});
      if (answer.status < 400) return answer;
      if (answer.status !== 401 || !this.#options.token || tries) throw refusal(answer, `${method} ${path}`);
      this.#token = null;
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

  listen(queue, options, call, {onError = complain, onGap} = {}) {
    const subscription = this.subscribe(queue, {onGap, ...options});
    this.#serve(subscription, call, (...what) => notify(onError, ...what));
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
      const unknown = Boolean(entry.link || entry.doubtedAt);
      this.#settle(entry, "reject", new ZaqarError(0, "the client is closed", entry.action, unknown));
    }
    this.#waking.abort();
    this.#link?.close();
    this.#status("closed");
  }

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
      if (signal.aborted) return link?.close();
      while (link) {
        const began = Date.now();
        const {code, reason, next} = await this.#use(link);
        if (Date.now() - began > backoff.max || code === 4003) tries = 0;
        if (code === 4003) this.#token = null;
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
    const {token} = this.#options;
    if (token && !this.#token) await this.#fresh();
    const push = frame => this.#pushed(frame);
    const link = transport === "websocket" ? new Socket({...this.#options, push}) : this.#http();
    await link.open();
    if (this.#closed.signal.aborted) link.close();
    if (token) await this.#authenticate(link);
    return link;
  }

  #http() {
    const onPoll = () => {
      this.#streams = false;
      this.#status("open");
    };
    return new HttpLink({...this.#options, streams: this.#streams, onPoll});
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
    notify(this.#options.onStatus, this.status);
  }

  get status() {
    return {...this.#state, waiting: this.#posts.size};
  }

  async #fresh(why = this.#token === null ? "refused" : "connect") {
    const {token} = this.#options;
    const given = typeof token === "function" ? await token(why) : token;
    // A string has no such members.
    const {token: text = given, expires} = given;
    const left = expires && new Date(expires) - Date.now();
    if (Number.isNaN(left)) {
      throw new TypeError(`expires of the token is ${expires}: give ISO 8601, milliseconds or a Date`);
    }
    this.#token = text;
    clearTimeout(this.#renewal);
    if (expires && !this.#closed.signal.aborted) {
      const wait = Math.min(2 ** 31 - 1, Math.max(left - EARLY_MS, left / 2, 1000));
      this.#renewal = setTimeout(() => this.#renew("expiring").catch(() => {}), wait);
    }
    return text;
  }

  async #authenticate(link) {
    const answer = await link.authenticate(this.#token);
    if (answer.status < 300) return;
    this.#token = null;
    link.close("authentication failed");
    throw refusal(answer, "authenticate");
  }

  async #renew(why) {
    await this.#fresh(why);
    if (this.#link) await this.#authenticate(this.#link);
  }

  /** Without a new token the link is of no use, and the next one asks again. */
  #refused() {
    if (!this.#options.token) throw new ZaqarError(401, "the gateway wants a token: give one as option", "authenticate");
    const link = this.#link;
    const fail = ({message}) => {
      this.#token = null;
      link?.close(message);
      throw new ZaqarError(0, message, "authenticate");
    };
    this.#renewing ??= this.#renew("refused").catch(fail).finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  #ask(action, body, isPost) {
    const repeats = isPost || body.idempotency_key !== undefined || REPEATABLE.test(action);
    const state = {waits: true, link: null, renewed: false, tries: 0, doubtedAt: 0};
    const entry = {action, body, isPost, repeats, ...state, ...deferred()};
    this.#entries.add(entry);
    if (isPost) this.#posts.add(entry);
    else {
      const {timeout} = this.#options;
      const late = () => new ZaqarError(0, `no answer within ${timeout / 1000} s`, action, Boolean(entry.link));
      entry.timer = setTimeout(() => this.#settle(entry, "reject", late()), timeout);
    }
    if (this.#closed.signal.aborted) this.#settle(entry, "reject", new ZaqarError(0, "the client is closed", action));
    else this.#pump([entry]);
    return entry.promise;
  }

  #settle(entry, how, value) {
    clearTimeout(entry.timer);
    this.#entries.delete(entry);
    this.#posts.delete(entry);
    entry[how](value);
  }

  /** Posts go in their order, so one after the other where they could overtake. */
  #pump(entries = this.#entries) {
    const link = this.#link;
    const [oldest] = this.#posts;
    for (const entry of link ? entries : []) {
      const isNext = entry === oldest || (link.ordered && oldest?.link === link);
      if (entry.waits && (!entry.isPost || (isNext && !this.#held))) this.#send(entry, link);
    }
  }

  async #send(entry, link) {
    const {action, body, isPost, doubtedAt} = entry;
    const isLate = doubtedAt && Date.now() - doubtedAt > KEY_WINDOW_MS;
    entry.waits = false;
    entry.link = link;
    let answer;
    try {
      if (isLate) await Promise.reject(new ZaqarError(0, "no answer came, and it is too late to ask again", action, true));
      answer = await link.call(action, body);
    } catch (error) {
      entry.waits = error.status === 0 && !(error.unknown && (isLate || !entry.repeats));
      entry.link = null;
      if (error.unknown) entry.doubtedAt ||= Date.now();
      if (!entry.waits) this.#settle(entry, "reject", error);
      if (entry.waits ? link !== this.#link : !link.ordered) this.#pump();
      return;
    }
    const {status} = answer;
    const renews = this.#options.token && !entry.renewed && unauthenticated(answer);
    if (status < 300) this.#settle(entry, "resolve", answer.body);
    else if (renews || (isPost && busy(status))) {
      if (status === 503) entry.doubtedAt ||= Date.now();
      entry.link = null;
      // Those behind it wait as well.
      this.#held += Number(isPost);
      if (renews) await this.#refused().catch(() => {});
      else await sleep(pause(this.#options.backoff, entry.tries++), this.#closed.signal);
      this.#held -= Number(isPost);
      entry.renewed ||= renews;
      entry.waits = true;
    } else this.#settle(entry, "reject", refusal(answer, action));
    if (entry.waits || !link.ordered) this.#pump();
  }

  async #attach(subscription) {
    const link = this.#link;
    if (!link || !subscription.wantsLink) return;
    try {
      const hooks = {renew: () => this.#refused(), backoff: this.#options.backoff};
      await subscription.attach(link.attach(subscription, hooks));
    } catch (error) {
      // Without a status the connection is gone, and the next one does it again.
      if (error.status) subscription.fail(error);
    }
  }

  #pushed(frame) {
    const subscription = this.#subscriptions.get(frame.queue_name);
    if (!["Message", "Gap", "End"].includes(frame.Message_Type)) notify(this.#options.onPush, frame);
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

// queueCreate is the action queue_create, and so on.
for (const action of Object.keys(ACTIONS)) {
  const name = action.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  Zaqar.prototype[name] ??= function (queue, fields) {
    return this.action(action, {queue_name: queue, ...fields});
  };
}
