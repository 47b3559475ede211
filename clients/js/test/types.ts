// What the types have to allow, and, in lines below `@ts-expect-error`, what not. Compiled, never run.

import {Zaqar, ZaqarError, type Gap, type Message, type Status} from "zaqar-gateway";
import {decode, encode} from "zaqar-gateway/msgpack";

interface Order {
  number: number;
}

export async function use(): Promise<void> {
  const zaqar = new Zaqar({
    url: "wss://gateway.example",
    project: "demo",
    token: async why => (why === "refused" ? {token: "t", expires: new Date()} : "t"),
    transports: ["websocket", "sse", "poll"],
    backoff: {max: 10000},
    onStatus: (status: Status) => console.log(status.state, status.transport, status.error?.message),
  });
  const ids: string[] = await zaqar.post("orders", {number: 1}, {ttl: 300, key: "order-1"});
  await zaqar.post("orders", [{body: 1}, {body: 2, ttl: 60}]);
  for await (const message of zaqar.subscribe<Order>("orders", {durable: "d", onGap: (gap: Gap) => console.log(gap.after)})) {
    const number: number = message.body.number;
    if (number > 1) await message.ack();
    else await message.refuse(5);
    // @ts-expect-error
    message.body.name;
    // @ts-expect-error: a message is not a task
    message.done();
  }
  const stop: () => Promise<void> = zaqar.listen("orders", {start: "earliest"}, (message: Message) => console.log(message.id));
  await stop();
  const work = zaqar.work<Order>("orders", {window: 5});
  await work.ready;
  for await (const task of work) if (!(await task.done())) console.log(task.claimId);
  await zaqar.queueCreate("orders", {metadata: {}});
  const {status, body} = await zaqar.request("POST", "/v2/queues/orders/share", {paths: ["messages"]});
  new Zaqar({url: "https://gateway.example", share: body, transports: ["sse"]});
  try {
    await zaqar.action("queue_get", {queue_name: "orders"});
  } catch (error) {
    if (error instanceof ZaqarError) console.log(error.status, error.unknown, error.action, ids, status);
  }
  decode(encode({a: 1n}));
  // @ts-expect-error
  new Zaqar({project: "demo", encoding: "xml"});
  // @ts-expect-error
  zaqar.subscribe("orders", {start: 5});
  // @ts-expect-error
  zaqar.status = null;
  await zaqar.close();
}
