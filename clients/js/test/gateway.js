// A gateway in this process: as much of one as the client can tell from a whole one, and switches for what may go wrong.

import {afterEach, beforeEach} from "node:test";

import {decode, encode} from "../src/msgpack.js";
import {Zaqar} from "../src/zaqar.js";

/** Let all that is due without a timer happen. */
export async function settled() {
  for (let turn = 0; turn < 30; turn++) await new Promise(setImmediate);
}

/** Time moves by hand from now on: `advance(ms)` from timer to timer, and what one begins comes about before the next. */
export function clock() {
  const real = {setTimeout, clearTimeout, setInterval, clearInterval};
  const {now: today} = Date;
  const timers = new Map();
  let now = 1e12;
  let last = 0;
  const set = (call, ms = 0, every = null) => {
    timers.set(++last, {call, at: now + ms, every});
    return last;
  };
  const clear = timer => timers.delete(timer);
  Object.assign(globalThis, {setTimeout: (call, ms) => set(call, ms), clearTimeout: clear});
  Object.assign(globalThis, {setInterval: (call, ms) => set(call, ms, ms), clearInterval: clear});
  Date.now = () => now;
  return {
    async advance(ms) {
      const end = now + ms;
      await settled();
      for (;;) {
        const [first] = [...timers].filter(([, {at}]) => at <= end).sort(([, one], [, other]) => one.at - other.at);
        if (!first) break;
        const [timer, {call, at, every}] = first;
        now = Math.max(now, at);
        if (every === null) timers.delete(timer);
        else timers.get(timer).at = at + every;
        call();
        await settled();
      }
      now = end;
    },
    stop() {
      Object.assign(globalThis, real);
      Date.now = today;
    },
  };
}

export class Gateway {
  up = true;
  sockets = new Set();
  socketsBlocked = false;
  eventsBlocked = false;
  /** Sockets take what is sent and answer nothing. */
  silent = false;
  /** Stored, but the answer is lost with the connection: how many times more. */
  losing = 0;
  /** Statuses with which posts are refused, in turn. */
  refusals = [];
  /** Statuses with which the listing of durable names is refused, in turn. */
  durableRefusals = [];
  /** The length of a frame that is too long closes the socket. */
  frameMax = Infinity;
  /** Tokens that are good; `null`: none is needed. */
  tokens = null;
  queues = new Map();
  durables = new Map();
  claims = new Map();
  asked = [];
  opened = 0;
  polls = new Set();
  #rank = 0x600000000000;
  #ids = 0;

  constructor() {
    const gateway = this;
    this.WebSocket = class {
      constructor(url) {
        this.url = url;
        setImmediate(() => gateway.#connect(this));
      }

      send(payload) {
        if (!gateway.silent) setImmediate(() => gateway.sockets.has(this) && gateway.#receive(this, payload));
      }

      /** One that is not open yet fails, and nobody may leave that unheard: `ws` ends the process then. */
      close(code = 1005) {
        gateway.#disconnect(this);
        setImmediate(() => {
          if (!this.wasOpen) this.onerror({message: "closed before the connection was established"});
          this.onclose?.({code, reason: ""});
        });
      }
    };
    this.fetch = (url, options) => this.#fetch(url, options);
  }

  client(options = {}) {
    const {WebSocket, fetch} = this;
    return new Zaqar({url: "http://gateway:8888", project: "p", WebSocket, fetch, ...options});
  }

  queue(name) {
    if (!this.queues.has(name)) this.queues.set(name, {messages: [], keys: new Map()});
    return this.queues.get(name);
  }

  /** The bodies of the messages of a queue. */
  stored(name) {
    return this.queue(name).messages.map(({body}) => body);
  }

  /** Post, as somebody else. */
  post(name, ...bodies) {
    const made = bodies.map(body => ({id: this.#id(), body, ttl: 60, age: 0}));
    this.queue(name).messages.push(...made);
    for (const socket of this.sockets) this.#push(socket, name);
    for (const wake of [...this.polls]) wake();
    return made.map(({id}) => id);
  }

  latest() {
    return this.#id();
  }

  /** End all connections. */
  drop(code = 1006, reason = "") {
    for (const socket of [...this.sockets]) {
      this.#disconnect(socket);
      socket.onclose?.({code, reason});
    }
    for (const wake of [...this.polls]) wake(new TypeError("connection reset"));
  }

  /** Send a frame to all sockets. */
  push(frame) {
    for (const socket of this.sockets) this.#send(socket, frame);
  }

  /** How often an action was asked for. */
  count(action) {
    return this.asked.filter(one => one.action === action).length;
  }

  #id() {
    return (this.#rank++).toString(16).padStart(14, "0") + "aaaaaaaaaa";
  }

  #connect(socket) {
    if (!this.up || this.socketsBlocked) {
      socket.onerror?.({});
      socket.onclose?.({code: 1006, reason: ""});
      return;
    }
    this.opened++;
    this.sockets.add(socket);
    socket.wasOpen = true;
    socket.live = new Map();
    socket.isKnown = this.tokens === null;
    socket.onopen?.({});
  }

  #disconnect(socket) {
    if (!this.sockets.delete(socket)) return;
    for (const live of socket.live.values()) this.#release(live);
  }

  #release(live) {
    for (const id of live.outstanding.keys()) if (this.claims.get(id) === live) this.claims.delete(id);
  }

  #send(socket, frame) {
    const isBinary = socket.isBinary;
    const payload = isBinary ? encode(frame) : JSON.stringify(frame);
    socket.onmessage?.({data: isBinary ? payload.slice().buffer : payload});
  }

  #receive(socket, payload) {
    socket.isBinary = typeof payload !== "string";
    const {action, headers, body} = socket.isBinary ? decode(payload) : JSON.parse(payload);
    this.asked.push({action, headers, body});
    if (payload.length > this.frameMax) {
      this.#disconnect(socket);
      return socket.onclose?.({code: 1009, reason: `a frame of ${payload.length} is too long`});
    }
    const [status, answer] = this.#answer(socket, action, headers, body);
    if (this.losing && (status === 201 || status === 204)) {
      this.losing--;
      return this.drop();
    }
    const echoed = action === "authenticate" ? {} : body;
    if (body.wait) this.#wait(socket, body.wait);
    const reply = () => this.#send(socket, {request: {action, headers, body: echoed, api: "v2"}, headers: {status}, body: answer});
    if (socket.behind) socket.behind.push(reply);
    else reply();
    if (action === "subscription_delete") {
      const end = {Message_Type: "End", queue_name: body.queue_name, reason: "The subscription has ended."};
      setImmediate(() => this.#send(socket, end));
    }
    if (body.queue_name) this.#push(socket, body.queue_name);
  }

  /** No reply leaves until the time is over. */
  #wait(socket, seconds) {
    socket.behind ??= [];
    setTimeout(() => {
      const replies = socket.behind;
      socket.behind = null;
      for (const reply of replies) reply();
    }, seconds * 1000);
  }

  #answer(socket, action, headers, body) {
    if (action === "authenticate") {
      socket.isKnown = this.tokens.has(headers["X-Auth-Token"]);
      return socket.isKnown ? [200, {message: "Authentified."}] : [401, {error: "Authentication failed."}];
    }
    if (!socket.isKnown) return [403, {error: "Not authentified."}];
    const live = socket.live.get(body.queue_name);
    switch (action) {
      case "subscription_create":
        return this.#subscribe(socket, body);
      case "subscription_delete":
        if (live) this.#release(live);
        socket.live.delete(body.queue_name);
        return [204, "removed"];
      case "message_acknowledge":
      case "message_refuse": {
        if (!live) return [404, {error: "no such subscription"}];
        const ids = body.message_ids.filter(id => live.outstanding.delete(id));
        for (const id of ids) {
          this.claims.delete(id);
          if (action === "message_refuse") live.again.push(id);
          else if (live.claim) this.#remove(body.queue_name, id);
          else live.done.add(id);
        }
        return [200, {[action === "message_refuse" ? "refused" : "acknowledged"]: ids.length}];
      }
      case "message_extend":
        return [200, {extended: 1}];
      case "subscription_window":
        live.window = body.window;
        return [200, {window: body.window}];
      case "ping_node":
        return [501, {error: "ping_node is not available here."}];
      default:
        return this.#do(action, body);
    }
  }

  #subscribe(socket, body) {
    const {queue_name, claim, durable, start} = body;
    if (socket.live.has(queue_name)) return [409, {error: "Subscription not created."}];
    if (queue_name === "forbidden") return [403, {exception: "Forbidden", error: "The role of a reader is missing."}];
    const acknowledges = claim || (body.acknowledge ?? (durable ? "explicit" : "none")) === "explicit";
    const key = `${queue_name} ${durable}`;
    const resumed = durable !== undefined && this.durables.has(key);
    const marker = start === "latest" ? this.#id() : start;
    const place = resumed ? this.durables.get(key) : {done: new Set(), marker};
    if (durable) this.durables.set(key, place);
    const again = [];
    const sent = place.marker === "earliest" ? "" : (place.marker ?? "");
    const live = {...place, sent, again, claim, acknowledges, window: body.window ?? 100};
    live.outstanding = new Map();
    socket.live.set(queue_name, live);
    return [201, {subscription_id: `s${++this.#ids}`, message: "", live: {marker: place.marker, durable, resumed, window: live.window}}];
  }

  #push(socket, name) {
    const live = socket.live.get(name);
    if (!live || this.silent) return;
    const {messages} = this.queue(name);
    const due = messages.filter(({id}) => {
      if (live.claim) return !this.claims.has(id);
      return live.again.includes(id) || (id > live.sent && !live.done.has(id));
    });
    for (const message of due) {
      if (live.acknowledges && live.outstanding.size >= live.window) return;
      const redelivered = live.again.includes(message.id) ? {redelivered: true} : {};
      live.again = live.again.filter(id => id !== message.id);
      if (message.id > live.sent) live.sent = message.id;
      if (live.acknowledges) live.outstanding.set(message.id, true);
      if (live.claim) {
        this.claims.set(message.id, live);
        redelivered.claim_id = "c1";
      }
      this.#send(socket, {Message_Type: "Message", queue_name: name, ...message, ...redelivered});
    }
  }

  /** The deadline of what is outstanding passes. */
  lapse(name) {
    for (const socket of this.sockets) {
      const live = socket.live.get(name);
      live?.again.push(...live.outstanding.keys());
      live?.outstanding.clear();
      this.#push(socket, name);
    }
  }

  #remove(name, id) {
    const queue = this.queue(name);
    queue.messages = queue.messages.filter(one => one.id !== id);
  }

  #do(action, body) {
    switch (action) {
      case "message_post": {
        const queue = this.queue(body.queue_name);
        const status = this.refusals.shift();
        if (status) return [status, {error: "busy"}];
        const key = body.idempotency_key ?? body.messages.map(one => one.idempotency_key).join();
        const known = queue.keys.get(key);
        if (known) return [201, {message_ids: known, replayed: true}];
        const ids = this.post(body.queue_name, ...body.messages.map(one => one.body));
        queue.keys.set(key, ids);
        return [201, {message_ids: ids}];
      }
      case "queue_get":
        return [200, {}];
      case "queue_list":
        return [200, {queues: [...this.queues.keys()].map(name => ({name}))}];
      case "claim_create":
        return [204, {claim_id: null}];
      default:
        return [400, {error: `${action} is not a valid action`}];
    }
  }

  // -- HTTP ----------------------------------------------------------------------------------------------------------

  async #fetch(url, {method = "GET", headers = {}, body, signal} = {}) {
    await new Promise(setImmediate);
    const {pathname, searchParams} = new URL(url);
    this.asked.push({action: `${method} ${pathname}`, headers, body: body && JSON.parse(body), url});
    if (!this.up) throw new TypeError("fetch failed");
    const answer = (status, found) => ({
      status,
      ok: status < 300,
      text: async () => (found === undefined ? "" : JSON.stringify(found)),
    });
    if (pathname === "/v2/ping") return answer(204);
    if (this.tokens && !this.tokens.has(headers["X-Auth-Token"])) return answer(401, {error: {message: "no"}});
    const [, , , name, what, id] = pathname.split("/");
    const queue = this.queue(name);
    if (what === "events") {
      if (this.eventsBlocked) throw new TypeError("connection reset");
      return {status: 200, ok: true, body: this.#stream(queue, searchParams, signal)};
    }
    if (what === "stats") {
      const newest = queue.messages.at(-1);
      return answer(200, {messages: newest ? {newest: {href: `/v2/queues/${name}/messages/${newest.id}`}} : {}});
    }
    if (what === "durables") {
      const status = this.durableRefusals.shift();
      if (status) return answer(status, {title: "Durables cannot be listed"});
      const all = [...this.durables].map(([key, {marker}]) => [...key.split(" "), marker]);
      const durables = all.filter(([its]) => its === name).map(([, durable, marker]) => ({name: durable, marker}));
      return answer(200, {durables});
    }
    if (what === "claims" && method === "POST") return this.#claim(name, answer, signal);
    if (what === "claims") {
      for (const [message, claim] of this.claims) if (method === "DELETE" && claim === id) this.claims.delete(message);
      for (const wake of [...this.polls]) wake();
      return answer(204);
    }
    if (what === "messages" && method === "POST") {
      const [status, found] = this.#do("message_post", {queue_name: name, ...JSON.parse(body)});
      if (this.losing) {
        this.losing--;
        throw new TypeError("connection reset");
      }
      if (status !== 201) return answer(status, found);
      return answer(201, {resources: found.message_ids.map(one => `/v2/queues/${name}/messages/${one}`)});
    }
    if (what === "messages" && method === "DELETE") {
      if (this.claims.get(id) !== searchParams.get("claim_id")) return answer(400, {description: "wrong claim"});
      this.#remove(name, id);
      return answer(204);
    }
    if (what === "messages") return this.#list(queue, searchParams, answer, signal);
    return answer(404, {title: "404 Not Found"});
  }

  /** Wait for a post, or for the end of a request. */
  #ring(signal) {
    return new Promise((resolve, reject) => {
      const wake = error => {
        this.polls.delete(wake);
        if (error) reject(error);
        else resolve();
      };
      this.polls.add(wake);
      signal.addEventListener("abort", () => wake(new TypeError("aborted")));
    });
  }

  async #list(queue, query, answer, signal) {
    for (;;) {
      const marker = query.get("marker") ?? "";
      const page = queue.messages.filter(({id}) => id > marker).slice(0, 2);
      if (page.length || !query.has("wait")) return answer(200, {messages: page, links: []});
      await this.#ring(signal);
    }
  }

  async #claim(name, answer, signal) {
    for (;;) {
      const message = this.queue(name).messages.find(({id}) => !this.claims.has(id));
      if (message) {
        const claim = `c${++this.#ids}`;
        this.claims.set(message.id, claim);
        return answer(201, {messages: [{...message, href: `/v2/queues/${name}/messages/${message.id}?claim_id=${claim}`}]});
      }
      await this.#ring(signal);
    }
  }

  #stream(queue, query, signal) {
    const gateway = this;
    let at = query.get("marker") === "earliest" ? "" : (query.get("marker") ?? this.latest());
    const text = new TextEncoder();
    return new ReadableStream({
      start(controller) {
        controller.enqueue(text.encode("retry: 2000\n: hel"));
        controller.enqueue(text.encode(`lo\nid: ${at}\n\n`));
      },
      async pull(controller) {
        for (;;) {
          const due = queue.messages.find(({id}) => id > at);
          if (due) {
            at = due.id;
            // A body keeps the line ends that it was posted with.
            const data = JSON.stringify(due, null, 1).replaceAll("\n", "\ndata: ");
            return controller.enqueue(text.encode(`id: ${at}\nevent: message\ndata: ${data}\n\n`));
          }
          try {
            await gateway.#ring(signal);
          } catch (error) {
            return controller.error(error);
          }
        }
      },
    }, {highWaterMark: 0});
  }
}

/** Give each test a clock and a gateway of its own, and close what `client` returns after it. */
export function forEachTest(begun, client) {
  let time;
  beforeEach(() => {
    time = clock();
    begun(time, new Gateway());
  });
  afterEach(async () => {
    const closing = client()?.close();
    await time.advance(3000);
    await closing;
    time.stop();
  });
}
