// A worker on Node: is given tasks over a WebSocket as they come, does them, and posts the results.
//
//     node examples/worker.mjs [--url http://127.0.0.1:8888] [--project demo] [--seconds 3]
//
// Tasks and results are those of agent.py; producer.py posts tasks. The gateway claims each task for this worker, renews
// the claim while it lives, and gives the task to another worker as soon as it dies. Node before version 22 needs
// --experimental-websocket for that (version 20 has it); without, the client polls, and a claim lapses after a minute.

import {setTimeout as sleep} from "node:timers/promises";
import {parseArgs} from "node:util";
import {Zaqar} from "../clients/js/src/zaqar.js"; // elsewhere: "zaqar-gateway", the package that `npm pack` makes there

const text = value => ({type: "string", default: value});
const {values} = parseArgs({options: {url: text("http://127.0.0.1:8888"), project: text("demo"), seconds: text("3")}});
const {url, project, seconds} = values;

const zaqar = new Zaqar({
  url,
  project,
  onStatus({state, error}) {
    if (state === "waiting") console.error(`no gateway at ${url}, trying again: ${error.message}`);
  },
});

for await (const task of zaqar.work("shout-tasks")) {
  if (typeof task.body?.text !== "string" || task.body.id === undefined) {
    // What nobody can do would come back again and again.
    await task.done();
    console.log(`dropped, for it is no task: ${JSON.stringify(task.body).slice(0, 64)}`);
    continue;
  }
  console.log(`begun: ${task.body.text}`);
  await sleep(seconds * 1000); // the work
  const result = {id: task.body.id, text: task.body.text.toUpperCase()};
  // First the result, then the end of the task: a crash in between has it done twice rather than not at all. The second
  // result has the key of the first one, and so is not stored.
  await zaqar.post("shout-results", result, {ttl: 300, key: task.id});
  await task.done();
  console.log(`done: ${task.body.text}`);
}
