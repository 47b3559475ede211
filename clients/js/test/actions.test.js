// Actions, posts and what becomes of them when connections end.

import assert from "node:assert/strict";
import {describe, it} from "node:test";

import {Zaqar, ZaqarError} from "../src/zaqar.js";
import {forEachTest, settled} from "./gateway.js";

let gateway, time, client;

forEachTest((itsTime, itsGateway) => ([time, gateway] = [itsTime, itsGateway]), () => client);

for (const encoding of ["json", "msgpack"]) {
  describe(`actions as ${encoding}`, () => {
    it("pairs replies with requests by their order", async () => {
      client = gateway.client({encoding});
      const [one, list, two] = await Promise.all([
        client.post("q", {n: 1}),
        client.queueList(),
        client.post("q", [{body: "a"}, {body: "b", ttl: 120}]),
      ]);
      assert.equal(one.length, 1);
      assert.deepEqual(list, {queues: [{name: "q"}]});
      assert.equal(two.length, 2);
      assert.deepEqual(gateway.stored("q"), [{n: 1}, "a", "b"]);
      const {headers, body} = gateway.asked[0];
      assert.deepEqual(headers, {"Client-ID": client.clientId, "X-Project-ID": "p"});
      assert.match(body.idempotency_key, /^[0-9a-f-]{36}$/);
    });
  });
}

describe("options", () => {
  it("says which option is wrong, and what would be right", () => {
    for (const [options, told] of [
      [{project: undefined}, /project is undefined: give the id of one/],
      [{url: "gateway:8888"}, /url is "gateway:8888": give/],
      [{transports: ["carrier pigeon"]}, /transports is \["carrier pigeon"\]: give some of/],
      [{transports: []}, /transports is \[\]: give some of/],
      [{encoding: "xml"}, /encoding is "xml": give json or msgpack/],
      [{WebSocket: undefined, transports: ["websocket"]}, /there is no WebSocket here/],
      [{share: {project: "p", methods: [], paths: []}, transports: ["websocket"]}, /or none for a share/],
    ]) {
      assert.throws(() => new Zaqar({url: "http://g", project: "p", WebSocket: gateway.WebSocket, ...options}), told);
    }
  });
});

describe("paths", () => {
  it("are of what was meant, or of nothing", async () => {
    client = gateway.client({transports: ["poll"]});
    for (const asked of [
      () => client.queueGetStats("."),
      () => client.messageDeleteMany("..", {pop: 1}),
      () => client.messageDelete("q", {}),
      () => client.messagePost(undefined, {messages: [{body: 1}]}),
      () => client.post(".", 1),
    ]) {
      await assert.rejects(asked(), {status: 400, message: /is (\.|\.\.|undefined): not over HTTP/});
    }
    assert.deepEqual(gateway.asked.filter(({action}) => !action.endsWith("/ping")), []);
  });
});

describe("claims", () => {
  it("are of no messages where nothing is free", async () => {
    client = gateway.client();
    assert.deepEqual(await client.claimCreate("q", {ttl: 60, grace: 60}), {claim_id: null, messages: []});
  });
});

describe("errors", () => {
  it("rejects with status, message and action", async () => {
    client = gateway.client();
    await assert.rejects(client.action("nonsense"), error => {
      assert.ok(error instanceof ZaqarError);
      assert.deepEqual(
        {...error, message: error.message},
        {name: "ZaqarError", status: 400, message: "nonsense is not a valid action", action: "nonsense", unknown: false},
      );
      return true;
    });
  });

  it("sends what comes behind a post that goes nowhere over HTTP", async () => {
    client = gateway.client({transports: ["poll"]});
    const refused = assert.rejects(client.post(".", 1), {status: 400});
    await client.post("q", 2);
    await refused;
  });

  it("gives up an action that is not answered", async () => {
    client = gateway.client({timeout: 5000});
    await settled();
    gateway.silent = true;
    const refused = assert.rejects(client.queueGet("q"), {status: 0, unknown: true, message: "no answer within 5 s"});
    await time.advance(5000);
    await refused;
  });

  it("does not ask again for what would be another thing the second time", async () => {
    client = gateway.client();
    await settled();
    gateway.losing = 1;
    await assert.rejects(client.claimCreate("q", {ttl: 60, grace: 60}), {status: 0, unknown: true, action: "claim_create"});
    await time.advance(2000);
    assert.equal(gateway.count("claim_create"), 1);
  });

  it("asks again for what is the same the second time", async () => {
    client = gateway.client();
    await settled();
    gateway.silent = true;
    const found = client.queueGet("q");
    await settled();
    gateway.silent = false;
    gateway.drop();
    await time.advance(2000);
    assert.deepEqual(await found, {});
  });

  it("refuses what waits when it is closed, and what comes later", async () => {
    gateway.up = false;
    client = gateway.client();
    const waiting = assert.rejects(client.post("q", 1), {status: 0, message: "the client is closed", unknown: false});
    const closing = client.close();
    await time.advance(3000);
    await closing;
    await waiting;
    await assert.rejects(client.queueGet("q"), {message: "the client is closed"});
    assert.throws(() => client.subscribe("q"), {message: "the client is closed"});
    assert.equal(client.status.state, "closed");
  });
});

describe("posts", () => {
  it("waits without a connection, and is sent in order", async () => {
    gateway.up = false;
    client = gateway.client();
    const posts = [1, 2, 3].map(n => client.post("q", n));
    await time.advance(10000);
    assert.equal(client.status.waiting, 3);
    gateway.up = true;
    await time.advance(30000);
    await Promise.all(posts);
    await client.flush();
    assert.deepEqual(gateway.stored("q"), [1, 2, 3]);
  });

  it("takes no more than offlineQueue", async () => {
    gateway.up = false;
    client = gateway.client({offlineQueue: 2});
    const kept = [client.post("q", 1), client.post("q", 2)];
    await assert.rejects(client.post("q", 3), /2 posts wait, as many as offlineQueue allows/);
    gateway.up = true;
    await time.advance(30000);
    await Promise.all(kept);
    assert.deepEqual(gateway.stored("q"), [1, 2]);
  });

  it("stores once what is sent again after a lost answer", async () => {
    client = gateway.client();
    await settled();
    gateway.losing = 2;
    const posts = [1, 2, 3].map(n => client.post("q", n));
    await time.advance(10000);
    const ids = await Promise.all(posts);
    assert.deepEqual(gateway.stored("q"), [1, 2, 3]);
    assert.deepEqual(ids.flat(), gateway.queue("q").messages.map(({id}) => id));
    assert.ok(gateway.count("message_post") > 3);
  });

  it("takes the application's key", async () => {
    client = gateway.client();
    const first = await client.post("q", 1, {key: "order-1"});
    assert.deepEqual(await client.post("q", 1, {key: "order-1"}), first);
    assert.deepEqual(gateway.stored("q"), [1]);
  });

  it("comes again in order where the gateway is busy", async () => {
    client = gateway.client();
    await settled();
    gateway.refusals = [503, 429, 503];
    const posts = [1, 2, 3].map(n => client.post("q", n));
    await time.advance(30000);
    await Promise.all(posts);
    assert.deepEqual(gateway.stored("q"), [1, 2, 3]);
  });

  it("stays in order where a new token is needed, whatever is posted meanwhile", async () => {
    gateway.tokens = new Set(["t1", "t2"]);
    const posts = [];
    const WebSocket = class extends gateway.WebSocket {
      send(payload) {
        super.send(payload);
        if (payload.includes('"t2"')) posts.push(client.post("q", 4));
      }
    };
    let given = 0;
    client = gateway.client({WebSocket, token: () => `t${++given}`});
    await settled();
    for (const socket of gateway.sockets) socket.isKnown = false;
    posts.push(...[1, 2, 3].map(n => client.post("q", n)));
    await settled();
    assert.equal((await Promise.all(posts)).length, 4);
    assert.deepEqual(gateway.stored("q"), [1, 2, 3, 4]);
  });

  it("stays in order where another link takes over", async () => {
    gateway.socketsBlocked = true;
    const fetch = async (url, options) => {
      if (options.method !== "POST") return gateway.fetch(url, options);
      await new Promise(resolve => options.signal.addEventListener("abort", resolve));
      await settled();
      throw new TypeError("aborted");
    };
    client = gateway.client({fetch, upgradeAfter: 10000});
    await time.advance(20000);
    const posts = [1, 2, 3].map(n => client.post("q", n));
    gateway.socketsBlocked = false;
    await time.advance(20000);
    assert.equal(client.status.transport, "websocket");
    await Promise.all(posts);
    assert.deepEqual(gateway.stored("q"), [1, 2, 3]);
  });

  it("refuses what is too long for a frame, and sends the others", async () => {
    for (const encoding of ["json", "msgpack"]) {
      gateway.frameMax = 1000;
      await client?.close();
      client = gateway.client({encoding});
      await settled();
      const posts = [client.post(encoding, 1), client.post(encoding, "x".repeat(1000)), client.post(encoding, 2)];
      const refused = assert.rejects(posts[1], {status: 413, unknown: false, message: /^a frame of 1\d{3} is too long$/});
      await time.advance(60000);
      await refused;
      await Promise.all([posts[0], posts[2]]);
      assert.deepEqual(gateway.stored(encoding), [1, 2]);
    }
  });

  it("takes keys of messages", async () => {
    client = gateway.client();
    await client.post("q", [{body: 1, idempotency_key: "order-1"}, {body: 2}]);
    const {messages: [first, second], idempotency_key} = gateway.asked[0].body;
    assert.equal(idempotency_key, undefined);
    assert.equal(first.idempotency_key, "order-1");
    assert.match(second.idempotency_key, /^[0-9a-f-]{36}$/);
    gateway.losing = 1;
    const again = client.post("q", [{body: 3, idempotency_key: "order-3"}]);
    await time.advance(5000);
    assert.equal((await again).length, 1);
  });

  it("takes as long for each of very many", async () => {
    client = gateway.client({offlineQueue: 1e6});
    await settled();
    let key = 0;
    // What the processor takes, which what else a machine does has no part in.
    const took = async count => {
      const before = process.cpuUsage();
      const posts = Array.from({length: count}, (_, n) => client.post("q", n, {key: `${key++}`}));
      assert.equal((await Promise.all(posts)).length, count);
      assert.equal(client.status.waiting, 0);
      const {user, system} = process.cpuUsage(before);
      return (user + system) / count;
    };
    await took(3000); // what was never run before is slow
    const [few, many] = [await took(3000), await took(30000)];
    assert.ok(many < 4 * few, `${few} µs for each of few, ${many} µs for each of many`);
  });

  it("does not post again once the key may be forgotten", async () => {
    client = gateway.client();
    await settled();
    gateway.losing = 1;
    const post = assert.rejects(client.post("q", 1), {status: 0, unknown: true, message: /too late to ask again/});
    await settled();
    gateway.up = false;
    await time.advance(2 * 3600000);
    gateway.up = true;
    await time.advance(60000);
    await post;
    assert.deepEqual(gateway.stored("q"), [1]);
  });

  it("takes an array for a body unless all its elements are messages", async () => {
    client = gateway.client();
    await client.post("q", [1, 2]);
    await client.post("q", [{body: 3}, {text: 4}]);
    await client.post("q", []);
    assert.deepEqual(gateway.stored("q"), [[1, 2], [{body: 3}, {text: 4}], []]);
  });
});

describe("connections", () => {
  it("comes back after a random pause that grows", async () => {
    const states = [];
    client = gateway.client({onStatus: status => states.push(status), transports: ["websocket"]});
    await settled();
    gateway.up = false;
    gateway.drop();
    await time.advance(120000);
    const waits = states.filter(({state}) => state === "waiting").map(({retryIn}) => retryIn);
    assert.ok(waits.length > 6, String(waits));
    waits.forEach((wait, tries) => assert.ok(wait >= 0 && wait <= Math.min(30000, 1000 * 2 ** tries)));
    assert.ok(new Set(waits).size > 3);
    gateway.up = true;
    await time.advance(30000);
    assert.deepEqual([client.status.state, client.status.transport], ["open", "websocket"]);
  });

  it("ends one on which nothing is heard, within three heartbeats", async () => {
    client = gateway.client({heartbeat: 10000});
    await settled();
    await time.advance(60000);
    assert.equal(gateway.opened, 1);
    assert.ok(gateway.count("ping_node") > 0);
    gateway.silent = true;
    await time.advance(31000);
    gateway.silent = false;
    await time.advance(5000);
    assert.equal(gateway.opened, 2);
  });

  it("looks at once when it is woken", async () => {
    client = gateway.client({backoff: {initial: 1e6, max: 1e6}});
    await settled();
    gateway.silent = true;
    client.wake();
    await time.advance(5000);
    assert.equal(client.status.state, "waiting");
    gateway.silent = false;
    client.wake();
    await settled();
    assert.equal(client.status.state, "open");
  });

  it("is kept where a reply waits for messages, and nothing else is heard", async () => {
    client = gateway.client({heartbeat: 2000});
    await settled();
    const claimed = client.claimCreate("q", {ttl: 60, grace: 60, wait: 20});
    await time.advance(10000);
    client.wake();
    await time.advance(11000);
    assert.deepEqual(await claimed, {claim_id: null, messages: []});
    assert.equal(gateway.opened, 1);
    gateway.silent = true;
    const lost = assert.rejects(client.claimCreate("q", {ttl: 60, grace: 60, wait: 20}), {status: 0, unknown: true});
    await time.advance(30000);
    await lost;
  });

  it("ends as closed, though it is being made", async () => {
    gateway.tokens = new Set(["good"]);
    for (const token of [undefined, "good"]) {
      const states = [];
      const closing = gateway.client({token, onStatus: ({state}) => states.push(state)});
      await closing.close();
      await time.advance(1000);
      assert.deepEqual(states, ["connecting", "closed"]);
      assert.equal(gateway.sockets.size, 0);
    }
  });

  it("bears callbacks that fail, and tells of it", async t => {
    const {mock} = t.mock.method(console, "error", () => {});
    const fail = kind => () => {
      throw new Error(kind);
    };
    const onPush = async () => fail("onPush")();
    client = gateway.client({onStatus: fail("onStatus"), onPush});
    assert.equal((await client.post("q", 1)).length, 1);
    gateway.push({Message_Type: "Notification", queue_name: "q"});
    await client.queueGet("q");
    const kinds = new Set(mock.calls.map(({arguments: [, {message}]}) => message));
    assert.deepEqual(kinds, new Set(["onStatus", "onPush"]));
  });

  it("gives up an opening that hangs", async () => {
    const WebSocket = class { close() {} };
    const states = [];
    const onStatus = ({state}) => states.push(state);
    client = gateway.client({WebSocket, transports: ["websocket"], connectTimeout: 5000, onStatus});
    await time.advance(4750);
    assert.ok(!states.includes("waiting"));
    await time.advance(500);
    assert.ok(states.includes("waiting"));
  });
});

describe("tokens", () => {
  it("authenticates before anything else", async () => {
    gateway.tokens = new Set(["good"]);
    client = gateway.client({token: async () => "good"});
    await client.post("q", 1);
    assert.deepEqual(gateway.asked.map(({action}) => action), ["authenticate", "message_post"]);
    assert.equal(gateway.asked[0].headers["X-Auth-Token"], "good");
    assert.equal(gateway.asked[1].headers["X-Auth-Token"], undefined);
  });

  it("asks for a new token before the end of the old one", async () => {
    gateway.tokens = new Set(["t1", "t2"]);
    const whys = [];
    const token = why => ({token: `t${whys.push(why)}`, expires: new Date(Date.now() + (whys.length > 1 ? 1e9 : 90000))});
    client = gateway.client({token});
    await client.queueGet("q");
    await time.advance(59000);
    assert.deepEqual(whys, ["connect"]);
    await time.advance(2000);
    assert.deepEqual(whys, ["connect", "expiring"]);
    assert.equal(gateway.opened, 1);
    assert.equal(gateway.count("authenticate"), 2);
  });

  it("asks for none after the end, though one comes late", async () => {
    const whys = [];
    const give = async why => {
      whys.push(why);
      await new Promise(resolve => setTimeout(resolve, 300));
      return {token: "good", expires: new Date(Date.now() + 2000)};
    };
    client = gateway.client({token: give});
    await time.advance(100);
    await client.close();
    await time.advance(60000);
    assert.deepEqual(whys, ["connect"]);
  });

  it("asks for a new one where the gateway does not take it, and asks again", async () => {
    gateway.tokens = new Set(["t1", "t2"]);
    const whys = [];
    client = gateway.client({token: why => `t${whys.push(why)}`});
    await client.queueGet("q");
    for (const socket of gateway.sockets) socket.isKnown = false;
    const found = await Promise.all([client.queueGet("q"), client.post("q", 1)]);
    assert.deepEqual(found[0], {});
    assert.deepEqual(whys, ["connect", "refused"]);
    assert.deepEqual(gateway.stored("q"), [1]);
  });

  it("connects again with a new one when the gateway says that it has expired", async () => {
    gateway.tokens = new Set(["t1", "t2"]);
    let given = 0;
    client = gateway.client({token: () => `t${++given}`});
    await client.queueGet("q");
    gateway.drop(4003, "Authentication expired.");
    await time.advance(2000);
    assert.deepEqual([given, client.status.state], [2, "open"]);
  });

  it("keeps trying where a token is refused or none is given, and says so", async () => {
    gateway.tokens = new Set(["good"]);
    const given = ["bad", new Error("the session is over"), "good"];
    const errors = [];
    client = gateway.client({
      onStatus: ({error}) => error && errors.push(error.message),
      token: async () => {
        const next = given.shift();
        if (next instanceof Error) throw next;
        return next;
      },
    });
    const post = client.post("q", 1);
    await time.advance(10000);
    await post;
    assert.deepEqual(errors, ["Authentication failed.", "the session is over"]);
  });

  for (const transports of [["websocket"], ["sse"], ["poll"]]) {
    it(`comes again by ${transports} where a new token is not to be had at first, and says so`, async () => {
      gateway.tokens = new Set(["t1"]);
      const whys = [];
      const errors = [];
      client = gateway.client({
        transports,
        onStatus: ({error}) => error && errors.push(error.message),
        token: async why => {
          if (whys.push(why) === 2 || whys.length === 3) throw Object.assign(new Error("sign in again"), {status: 403});
          return whys.length === 1 ? "t1" : "t2";
        },
      });
      const subscription = client.subscribe("q");
      await time.advance(1000);
      await subscription.ready;
      gateway.tokens = new Set(["t2"]);
      for (const socket of gateway.sockets) socket.isKnown = false;
      const posted = client.post("other", 1);
      if (transports[0] !== "websocket") gateway.drop();
      await time.advance(20000);
      await posted;
      gateway.post("q", "after");
      await time.advance(1000);
      assert.equal((await subscription.next()).value.body, "after");
      assert.deepEqual(whys.slice(0, 4), ["connect", "refused", "refused", "refused"]);
      assert.ok(errors.includes("sign in again"), String(errors));
    });
  }

  it("says what is wrong with the end of one, and asks no more often for that", async () => {
    const errors = [];
    const whys = [];
    const token = why => whys.push(why) && {token: "good", expires: "tomorrow"};
    client = gateway.client({token, onStatus: ({error}) => error && errors.push(error.message)});
    await time.advance(60000);
    const right = "give ISO 8601, milliseconds or a Date";
    assert.deepEqual(new Set(errors), new Set([`expires of the token is tomorrow: ${right}`]));
    assert.equal(whys.length, errors.length);
    assert.ok(whys.length < 20, String(whys.length));
  });

  it("takes one without an end", async () => {
    gateway.tokens = new Set(["good"]);
    let given = 0;
    client = gateway.client({token: () => ({token: "good", expires: given++ ? undefined : null})});
    await time.advance(60000);
    assert.deepEqual([given, client.status.state], [1, "open"]);
  });

  it("is not asked for one by a refusal of the policy", async () => {
    gateway.tokens = new Set(["good"]);
    const whys = [];
    client = gateway.client({token: why => whys.push(why) && "good"});
    const subscription = client.subscribe("forbidden");
    await assert.rejects(subscription.ready, {status: 403, message: "The role of a reader is missing."});
    await assert.rejects(subscription.next(), {status: 403});
    assert.deepEqual(whys, ["connect"]);
  });
});
