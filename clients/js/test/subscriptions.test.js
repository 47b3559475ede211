// What an application gets from a queue, through lost connections, blocked sockets and its own slowness.

import assert from "node:assert/strict";
import {beforeEach, describe, it} from "node:test";

import {forEachTest, settled} from "./gateway.js";

let gateway, time, client;

forEachTest((itsTime, itsGateway) => ([time, gateway] = [itsTime, itsGateway]), () => client);

const numbers = (from, to) => Array.from({length: to - from}, (_, at) => from + at);

/** Collect bodies in the background. */
function collect(subscription, each = () => {}) {
  const found = [];
  const read = async () => {
    for await (const message of subscription) {
      found.push(message.body);
      await each(message);
    }
  };
  const end = read();
  end.catch(() => {});
  return Object.defineProperty(found, "end", {value: end});
}

async function outage(ms = 5000) {
  gateway.up = false;
  gateway.drop();
  await time.advance(ms);
  gateway.up = true;
  await time.advance(60000);
}

/** Every way to follow a queue, and what is in the way of the others. */
const WAYS = {
  websocket: {},
  sse: {socketsBlocked: true},
  poll: {socketsBlocked: true, eventsBlocked: true},
};

for (const [way, blocked] of Object.entries(WAYS)) {
  describe(`a subscription by ${way}`, () => {
    async function begin(options, settings = {}) {
      Object.assign(gateway, blocked);
      client = gateway.client({upgradeAfter: 1e9, ...settings});
      const subscription = client.subscribe("q", options);
      await time.advance(60000);
      await subscription.ready;
      assert.deepEqual([client.status.state, client.status.transport], ["open", way]);
      return subscription;
    }

    it("gives what is posted from its beginning on", async () => {
      gateway.post("q", "before");
      const found = collect(await begin());
      gateway.post("q", 1, 2);
      await settled();
      gateway.post("q", 3);
      await settled();
      assert.deepEqual(found, [1, 2, 3]);
    });

    it("gives all there is from the earliest", async () => {
      gateway.post("q", ...numbers(0, 7));
      const found = collect(await begin({start: "earliest"}));
      await settled();
      assert.deepEqual(found, numbers(0, 7));
    });

    it("begins after a message", async () => {
      const ids = gateway.post("q", 0, 1, 2, 3);
      const found = collect(await begin({start: ids[1]}));
      await settled();
      assert.deepEqual(found, [2, 3]);
    });

    it("misses nothing, and gives nothing twice, through outages", async () => {
      const found = collect(await begin());
      for (let round = 0; round < 5; round++) {
        gateway.post("q", ...numbers(round * 10, round * 10 + 5));
        if (round % 2) await settled();
        gateway.up = false;
        gateway.drop();
        gateway.post("q", ...numbers(round * 10 + 5, round * 10 + 10));
        await time.advance(2000);
        gateway.up = true;
        await time.advance(90000);
      }
      assert.deepEqual(found, numbers(0, 50));
    });

    it("begins where it was asked to even if all is lost before the first message", async () => {
      const found = collect(await begin());
      gateway.up = false;
      gateway.drop();
      gateway.post("q", "meanwhile");
      await time.advance(5000);
      gateway.up = true;
      await time.advance(60000);
      assert.deepEqual(found, ["meanwhile"]);
    });

    it("holds the gateway back for a slow application, and loses nothing", async () => {
      const subscription = await begin();
      gateway.post("q", ...numbers(0, 1500));
      await settled();
      gateway.post("q", ...numbers(1500, 3000));
      await time.advance(2000);
      const found = collect(subscription);
      for (let turn = 0; turn < 60; turn++) await settled();
      assert.deepEqual(found, numbers(0, 3000));
    });

    it("gives all characters that JSON has", async () => {
      const found = collect(await begin());
      gateway.post("q", "\u2028\u2029\u0085", "next");
      await time.advance(1000);
      assert.deepEqual(found, ["\u2028\u2029\u0085", "next"]);
    });

    it("refuses a window that is none, and keeps one that is", async () => {
      const subscription = await begin({acknowledge: "explicit"});
      for (const bad of [0, 1001, 1.5, "2", undefined]) {
        const message = `window is ${JSON.stringify(bad)}: give a whole number from 1 to 1000`;
        await assert.rejects(subscription.resize(bad), {status: 400, action: "subscription_window", message});
      }
      await subscription.resize(7);
      const found = collect(subscription);
      await outage();
      gateway.post("q", 1);
      await time.advance(1000);
      assert.deepEqual(found, [1]);
      const asked = gateway.asked.filter(({action}) => action === "subscription_create");
      if (way === "websocket") assert.equal(asked.at(-1).body.window, 7);
    });

    it("ends with its iterator, and another one may follow", async () => {
      const subscription = await begin();
      gateway.post("q", 1, 2);
      for await (const message of subscription) {
        assert.equal(message.body, 1);
        break;
      }
      const found = collect(client.subscribe("q", {start: "earliest"}));
      await time.advance(1000);
      assert.deepEqual(found, [1, 2]);
    });

    it("calls a function with each message", async () => {
      await begin();
      const found = [];
      const stop = client.listen("other", {start: "earliest"}, message => { found.push(message.body); });
      gateway.post("other", 1, 2);
      await time.advance(1000);
      await stop();
      gateway.post("other", 3);
      await time.advance(1000);
      assert.deepEqual(found, [1, 2]);
    });

    it("begins with the oldest, also of a queue that has none yet", async () => {
      const found = collect(await begin({start: "earliest"}));
      gateway.post("q", 1, 2);
      await time.advance(2000);
      await outage();
      gateway.post("q", 3);
      await time.advance(60000);
      assert.deepEqual(found, [1, 2, 3]);
    });

    it("gives again what was refused, and what is acknowledged no more", async () => {
      const seen = [];
      const found = collect(await begin({acknowledge: "explicit", window: 3}), message => {
        seen.push([message.body, message.redelivered]);
        if (message.body === 1 && !message.redelivered) message.refuse();
        else message.ack();
      });
      gateway.post("q", ...numbers(0, 6));
      await time.advance(2000);
      await outage();
      assert.deepEqual([...found].sort(), [0, 1, 1, 2, 3, 4, 5]);
      assert.deepEqual(seen.filter(([, again]) => again), [[1, true]]);
    });

    it("keeps what was refused with a delay that is none", async () => {
      const held = [];
      const found = collect(await begin({acknowledge: "explicit"}), message => { held.push(message); });
      gateway.post("q", "a");
      await time.advance(1000);
      for (const delay of [-1, 43201, 1.5, "x", null, NaN]) {
        await assert.rejects(held[0].refuse(delay), {status: 400, message: `delay is ${JSON.stringify(delay)}: give a whole number from 0 to 43200`});
      }
      assert.deepEqual(found, ["a"]);
      const refused = held[0].refuse();
      await time.advance(1000);
      assert.equal(await refused, true);
      assert.deepEqual(found, ["a", "a"]);
      assert.equal(await held[1].ack(), true);
    });

    it("sends what comes behind a post that cannot be written", async () => {
      await begin();
      await assert.rejects(client.post("q", 1n), TypeError);
      const posted = client.post("q", "next");
      await time.advance(1000);
      await posted;
      assert.deepEqual(gateway.stored("q"), ["next"]);
      assert.deepEqual([client.status.state, client.status.waiting], ["open", 0]);
    });

    it("gives no more than the window until something is acknowledged", async () => {
      const held = [];
      const found = collect(await begin({acknowledge: "explicit", window: 2}), message => { held.push(message); });
      gateway.post("q", ...numbers(0, 5));
      await time.advance(1000);
      assert.deepEqual(found, [0, 1]);
      await outage();
      assert.deepEqual(found, [0, 1]);
      assert.deepEqual(await Promise.all(held.splice(0).map(message => message.ack())), [true, true]);
      await time.advance(1000);
      assert.deepEqual(found, [0, 1, 2, 3]);
    });

    /** The tasks of a worker, and their bodies, as they come. */
    async function work(window) {
      Object.assign(gateway, blocked);
      client = gateway.client({upgradeAfter: 1e9});
      const tasks = [];
      const found = collect(client.work("q", {window}), task => { tasks.push(task); });
      await time.advance(60000);
      return {tasks, found};
    }

    it("gives each task until it is done", async () => {
      const {tasks, found} = await work(2);
      gateway.post("q", "a", "b", "c");
      await time.advance(1000);
      assert.deepEqual(found, ["a", "b"]);
      assert.equal(await tasks[0].done(), true);
      await time.advance(1000);
      assert.deepEqual(found, ["a", "b", "c"]);
      assert.equal(typeof tasks[1].claimId, "string");
      assert.deepEqual(gateway.stored("q"), ["b", "c"]);
      const refused = tasks[1].refuse();
      await time.advance(1000);
      assert.equal(await refused, true);
      await time.advance(1000);
      assert.deepEqual(found, ["a", "b", "c", "b"]);
    });

    for (const window of [1, 2]) {
      it(`keeps a task through an outage, of ${window} at a time`, async () => {
        const {tasks, found} = await work(window);
        gateway.post("q", "a");
        await time.advance(1000);
        await outage();
        assert.deepEqual(found, ["a"]);
        assert.equal(await tasks[0].done(), true);
        assert.deepEqual(gateway.stored("q"), []);
      });
    }
  });
}

describe("a subscription on a WebSocket", () => {
  beforeEach(async () => {
    client = gateway.client({upgradeAfter: 1e9});
    await settled();
  });

  it("asks for what the application asks for", async () => {
    const options = {durable: "d", window: 5, deadline: 60, ttl: 120, echo: false, start: "earliest", onGap() {}};
    const subscription = client.subscribe("q", options);
    assert.equal((await subscription.ready).durable, "d");
    const {body} = gateway.asked.at(-1);
    assert.deepEqual(body, {queue_name: "q", start: "earliest", durable: "d", window: 5, deadline: 60, ttl: 120, echo: false});
  });

  it("says again what is settled where that was lost, and bothers nobody", async () => {
    const held = [];
    const subscription = client.subscribe("q", {durable: "d"});
    const found = collect(subscription, message => { held.push(message); });
    await subscription.ready;
    gateway.post("q", 0, 1, 2, 3);
    await settled();
    gateway.silent = true;
    const said = held.slice(0, 2).map(message => message.ack());
    await settled();
    gateway.silent = false;
    await outage();
    assert.deepEqual(found, [0, 1, 2, 3]);
    assert.deepEqual(await Promise.all(said), [true, true]);
    assert.equal(gateway.durables.get("q d").done.size, 2);
    assert.deepEqual(await Promise.all(held.slice(2).map(message => message.ack())), [true, true]);
    await outage();
    assert.deepEqual(found, [0, 1, 2, 3]);
  });

  it("says many things in few requests", async () => {
    const subscription = client.subscribe("q", {acknowledge: "explicit", window: 1000});
    const said = [];
    collect(subscription, message => { said.push(message.ack()); });
    await subscription.ready;
    gateway.post("q", ...numbers(0, 500));
    for (let turn = 0; turn < 20; turn++) await settled();
    await Promise.all(said);
    assert.equal(said.length, 500);
    assert.ok(gateway.count("message_acknowledge") < 20, String(gateway.count("message_acknowledge")));
  });

  it("gives again what passed its deadline", async () => {
    const subscription = client.subscribe("q", {acknowledge: "explicit", deadline: 5});
    const found = collect(subscription);
    await subscription.ready;
    gateway.post("q", 0);
    await settled();
    gateway.lapse("q");
    await settled();
    assert.deepEqual(found, [0, 0]);
  });

  it("tells of gaps in their place", async () => {
    const told = [];
    const subscription = client.subscribe("q", {onGap: gap => told.push(gap)});
    await subscription.ready;
    gateway.post("q", 1);
    gateway.push({Message_Type: "Gap", queue_name: "q", after: "x", continues_at: null});
    gateway.post("q", 2);
    await settled();
    assert.deepEqual(told, []);
    assert.equal((await subscription.next()).value.body, 1);
    assert.equal((await subscription.next()).value.body, 2);
    assert.deepEqual(told, [{after: "x", continuesAt: null}]);
  });

  it("goes on behind what was refused and has expired", async () => {
    const held = [];
    const subscription = client.subscribe("q", {acknowledge: "explicit"});
    const found = collect(subscription, message => { held.push(message); });
    await subscription.ready;
    gateway.post("q", 0, 1);
    await settled();
    gateway.queue("q").messages = [];
    await Promise.all([held[0].refuse(30), held[1].ack()]);
    await time.advance(62000);
    gateway.post("q", 2);
    await settled();
    assert.deepEqual(found, [0, 1, 2]);
    await held[2].ack();
    await outage();
    assert.equal(gateway.asked.findLast(({action}) => action === "subscription_create").body.start, held[2].id);
  });

  it("goes on behind a gap of which it cannot be told", async t => {
    const {mock} = t.mock.method(console, "error", () => {});
    const found = [];
    const onGap = () => {
      throw new Error("no gaps here");
    };
    const stop = client.listen("q", {onGap, acknowledge: "explicit"}, ({body}) => { found.push(body); });
    await settled();
    gateway.push({Message_Type: "Gap", queue_name: "q", after: "x", continues_at: null});
    gateway.post("q", 1);
    await settled();
    assert.deepEqual(found, [1]);
    assert.equal(mock.calls[0].arguments[1].message, "no gaps here");
    await stop();
  });

  it("goes on where it was when its time is up, and ends when it is taken over", async () => {
    const subscription = client.subscribe("q");
    const found = collect(subscription);
    await subscription.ready;
    gateway.post("q", 1);
    await settled();
    for (const socket of gateway.sockets) socket.live.clear();
    gateway.push({Message_Type: "End", queue_name: "q", reason: "The subscription has ended."});
    await time.advance(2000);
    gateway.post("q", 2);
    await settled();
    assert.deepEqual(found, [1, 2]);
    gateway.push({Message_Type: "End", queue_name: "q", reason: "taken over"});
    await assert.rejects(found.end, {status: 409, message: "taken over"});
  });

  it("may follow a queue again at once, whose last follower has just ended", async () => {
    const first = client.subscribe("q");
    await first.ready;
    await first.close();
    const found = collect(client.subscribe("q"));
    await settled();
    await time.advance(2000);
    gateway.post("q", 1);
    await settled();
    assert.deepEqual(found, [1]);
    assert.equal(gateway.count("subscription_create"), 2);
  });

  it("is refused where the client follows the queue already", () => {
    client.subscribe("q");
    assert.throws(() => client.subscribe("q"), {status: 409, message: "this client follows q already"});
  });

  it("hands other pushes to onPush", async () => {
    await client.close();
    const found = [];
    client = gateway.client({onPush: frame => found.push(frame)});
    await settled();
    gateway.push({Message_Type: "Notification", queue_name: "q", body: 1, ttl: 60});
    assert.equal(found[0].body, 1);
  });

  it("settles and refuses by what the function of a listener does", async () => {
    const errors = [];
    let failed = false;
    const call = async ({body}) => {
      if (body === 1 && !failed) {
        failed = true;
        throw new Error("not now");
      }
    };
    client.listen("q", {durable: "d"}, call, {onError: (error, message) => errors.push([error.message, message.body])});
    await settled();
    gateway.post("q", 0, 1, 2);
    await time.advance(2000);
    assert.deepEqual(errors, [["not now", 1]]);
    assert.equal(gateway.durables.get("q d").done.size, 3);
    assert.equal(gateway.asked.find(({action}) => action === "message_refuse").body.delay, 1);
  });

  it("goes on listening where what is told of a failure fails itself", async t => {
    const {mock} = t.mock.method(console, "error", () => {});
    const found = [];
    const call = ({body}) => {
      found.push(body);
      throw new Error("not now");
    };
    const onError = async () => {
      throw new Error("not at all");
    };
    client.listen("q", {}, call, {onError});
    await settled();
    gateway.post("q", 1, 2);
    await settled();
    assert.deepEqual(found, [1, 2]);
    assert.deepEqual(mock.calls.map(({arguments: [, {message}]}) => message), ["not at all", "not at all"]);
  });

  it("says of what is settled too late that its subscription has ended, and why", async () => {
    const messages = [];
    const found = collect(client.subscribe("q", {durable: "d"}), message => { messages.push(message); });
    await settled();
    gateway.post("q", 1, 2);
    await settled();
    gateway.silent = true;
    const early = messages[0].ack();
    gateway.push({Message_Type: "End", queue_name: "q", reason: "taken over"});
    await assert.rejects(found.end, {status: 409});
    await assert.rejects(messages[1].ack(), {status: 409, message: "taken over"});
    gateway.drop();
    await assert.rejects(early, {status: 409, message: "taken over"});
  });

  it("does not acknowledge what is settled after it was closed", async () => {
    const messages = [];
    const subscription = client.subscribe("q", {durable: "d"});
    collect(subscription, message => { messages.push(message); });
    await settled();
    gateway.post("q", 1);
    await settled();
    await subscription.close();
    assert.equal(await messages[0].ack(), false);
  });

  it("changes its window", async () => {
    const subscription = client.subscribe("q", {acknowledge: "explicit", window: 1});
    const found = collect(subscription);
    await subscription.ready;
    gateway.post("q", 1, 2, 3);
    await subscription.resize(2);
    await settled();
    assert.deepEqual(found, [1, 2]);
  });
});

describe("ways", () => {
  it("goes back to WebSockets when they are not blocked any more, and gives nothing twice", async () => {
    gateway.socketsBlocked = true;
    const transports = new Set();
    client = gateway.client({upgradeAfter: 10000, onStatus: ({transport}) => transports.add(transport)});
    const held = [];
    const found = collect(client.subscribe("q", {durable: "d", start: "earliest"}), message => {
      if (message.body % 2) return message.ack();
      held.push(message);
    });
    await time.advance(60000);
    gateway.post("q", 0, 1, 2, 3);
    await time.advance(1000);
    gateway.socketsBlocked = false;
    await time.advance(20000);
    assert.equal(client.status.transport, "websocket");
    gateway.post("q", 4);
    await time.advance(1000);
    assert.deepEqual(found, [0, 1, 2, 3, 4]);
    held.forEach(message => message.ack());
    await time.advance(1000);
    assert.equal(gateway.durables.get("q d").done.size, 5);
    assert.deepEqual([...transports], [null, "sse", "websocket"]);
  });

  it("does not take a gateway that is away for blocked sockets", async () => {
    client = gateway.client();
    await settled();
    await outage(60000);
    assert.equal(client.status.transport, "websocket");
  });

  it("polls where events cannot be read at all", async () => {
    const whole = gateway.fetch;
    const fetch = async (...asked) => {
      const answer = await whole(...asked);
      return {...answer, body: undefined};
    };
    client = gateway.client({fetch, transports: ["sse", "poll"]});
    const found = collect(client.subscribe("q"));
    await time.advance(20000);
    gateway.post("q", 1);
    await settled();
    assert.deepEqual(found, [1]);
    assert.equal(client.status.transport, "poll");
  });

  for (const transports of [["sse"], ["poll"]]) {
    it(`loses nothing of a durable place that ${transports} learns of at the second time only`, async () => {
      const before = gateway.client();
      await before.subscribe("q", {durable: "d"}).ready;
      await before.close();
      gateway.post("q", "pending");
      gateway.durableRefusals = [503];
      client = gateway.client({transports});
      const found = collect(client.subscribe("q", {durable: "d"}));
      await time.advance(5000);
      assert.deepEqual(found, ["pending"]);
    });

    it(`refuses options by ${transports} that the gateway refuses on a WebSocket`, async () => {
      client = gateway.client({transports});
      for (const [name, bad, right] of [
        ["start", "newest", "latest, earliest or the id of a message"],
        ["start", "", "latest, earliest or the id of a message"],
        ["durable", "a phone", "1 to 64 of A-Z a-z 0-9 _ . -"],
        ["durable", 5, "1 to 64 of A-Z a-z 0-9 _ . -"],
        ["acknowledge", true, "none or explicit"],
        ["echo", "no", "true or false"],
        ["window", 0, "a whole number from 1 to 1000"],
        ["deadline", 43201, "a whole number from 1 to 43200"],
        ["ttl", 59.5, "a whole number from 60 to 1209600"],
      ]) {
        const subscription = client.subscribe("q", {[name]: bad});
        const message = `${name} is ${JSON.stringify(bad)}: give ${right}`;
        await assert.rejects(subscription.ready, {status: 400, action: "subscription_create", message});
        await assert.rejects(subscription.next(), {message});
      }
      await assert.rejects(client.work("q", {window: "4"}).ready, {status: 400});
      assert.equal(client.subscribe("q", {start: "earliest", window: 1000, echo: false, ttl: 60}).ended, false);
    });

    it(`does not begin elsewhere than at a durable place that may not be seen, by ${transports}`, async () => {
      gateway.durableRefusals = [403];
      client = gateway.client({transports});
      const subscription = client.subscribe("q", {durable: "d"});
      await assert.rejects(subscription.ready, {status: 403, action: "durable_list"});
    });
  }

  it("uses a share without a token or a WebSocket", async () => {
    const share = {project: "s", methods: ["GET", "POST"], paths: ["/v2/queues/q/messages"], expires: "2030", signature: "abc"};
    client = gateway.client({share, project: undefined});
    await client.post("q", 1);
    const {headers} = gateway.asked.at(-1);
    assert.equal(headers["X-Project-ID"], "s");
    assert.equal(headers["URL-Signature"], "abc");
    assert.equal(headers["URL-Methods"], "GET,POST");
    assert.equal(gateway.opened, 0);
  });

  it("has a request of HTTP for what has no action", async () => {
    gateway.tokens = new Set(["t2"]);
    let given = 0;
    client = gateway.client({token: () => `t${++given}`, transports: ["poll"]});
    await assert.rejects(client.request("PATCH", "/v2/queues/q", [], {type: "application/x"}), {status: 404});
    const {headers, body} = gateway.asked.at(-1);
    assert.equal(headers["Content-Type"], "application/x");
    assert.equal(headers["X-Auth-Token"], "t2");
    assert.deepEqual(body, []);
  });

  it("refuses over HTTP what needs a WebSocket", async () => {
    client = gateway.client({transports: ["poll"]});
    await assert.rejects(client.action("message_acknowledge", {}), {status: 501, message: /needs a WebSocket/});
  });
});
