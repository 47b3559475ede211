// What is posted to a queue, as it is posted, over a WebSocket of the gateway.

import { BASE } from "./api.js";
import { parse } from "./format.js";

const FIRST_PAUSE_MS = 500;
const PAUSE_MAX_MS = 10_000;
const TTL_S = 1_209_600; // so long that nobody sits before it when it ends

/** Whether the same may go well a little later. @param {{headers: {status: number}}} answer */
const busy = answer => answer.headers.status === 429 || answer.headers.status >= 500;

/**
 * Follow a queue until it is closed, over as many connections as that takes.
 *
 * The gateway is asked to go on after the last message that was seen.  Where it cannot, or says that something was missed,
 * `gap` is told.
 *
 * @param {import("./session.js").Session} session
 * @param {string} queue
 * @param {object} told
 * @param {(message: {id: string, ttl: number, body: any}) => void} told.message `id` is empty where the gateway gives none.
 * @param {(text: string) => void} told.gap
 * @param {(state: "connecting"|"open"|"waiting"|"ended", text: string) => void} told.state
 * @returns {{close: () => void}}
 */
export function follow(session, queue, told) {
  let socket = null;
  let timer = 0;
  let pause = FIRST_PAUSE_MS;
  let closed = false;
  let last = "";
  let before = false;
  let gapAt = ""; // behind which message a gap was told of last

  const headers = { "Client-ID": session.client, "X-Project-ID": session.project };
  if (!session.token && session.roles) headers["X-ROLES"] = session.roles;
  const url = new URL(BASE);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";

  function connect() {
    told.state("connecting", "Connecting");
    const waiting = [];
    const mine = (socket = new WebSocket(url));
    const ask = (action, body, more = {}) => {
      mine.send(JSON.stringify({ action, headers: { ...headers, ...more }, body }));
      return new Promise(resolve => waiting.push(resolve));
    };
    mine.addEventListener("open", async () => {
      if (session.token) {
        const answer = await ask("authenticate", {}, { "X-Auth-Token": session.token });
        if (busy(answer)) return mine.close();
        if (answer.headers.status !== 200) return end(answer.body.error);
      }
      const answer = await ask("subscription_create", { queue_name: queue, ttl: TTL_S, start: last || "latest", acknowledge: "none" });
      if (busy(answer)) return mine.close();
      if (answer.headers.status !== 201) return end(answer.body.error);
      if (before && !answer.body.live) told.gap("The connection was lost; what was posted meanwhile is not shown.");
      if (answer.body.live) last ||= answer.body.live.marker;
      before = true;
      pause = FIRST_PAUSE_MS;
      told.state("open", "Live");
      return undefined;
    });
    mine.addEventListener("message", event => {
      const frame = parse(event.data);
      if ("request" in frame) waiting.shift()?.(frame);
      else push(frame);
    });
    mine.addEventListener("close", event => {
      if (closed || mine !== socket) return;
      if (event.code === 4003) return end(event.reason || "The token has ended.");
      told.state("waiting", "Disconnected; trying again");
      timer = setTimeout(connect, pause * (0.5 + Math.random() / 2));
      pause = Math.min(PAUSE_MAX_MS, pause * 2);
      return undefined;
    });
  }

  function push(frame) {
    if (frame.Message_Type === "Notification") {
      told.message({ id: "", ttl: frame.ttl, body: frame.body });
    } else if (frame.Message_Type === "Message") {
      last = frame.id;
      told.message({ id: frame.id, ttl: frame.ttl, body: frame.body });
    } else if (frame.Message_Type === "Gap") {
      // Who comes again is told again, until something comes behind it.
      if (frame.after !== gapAt) told.gap("Some messages were gone before they could be shown.");
      gapAt = frame.after;
    } else if (frame.Message_Type === "End") {
      end(frame.reason);
    }
  }

  function end(text) {
    close();
    told.state("ended", text || "Ended by the gateway.");
  }

  function close() {
    closed = true;
    clearTimeout(timer);
    socket?.close();
  }

  connect();
  return { close };
}
