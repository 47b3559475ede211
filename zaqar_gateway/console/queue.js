// One queue: what is in it now, and what can be done with it.

import { Chart, Difference } from "./chart.js";
import { showClaims, takeClaim } from "./claims.js";
import { button, field, FieldError, h, newId, numberIn, put, say, tick } from "./dom.js";
import { count, plural, rate, reveal, span } from "./format.js";
import { also, here } from "./keys.js";
import { showLetters } from "./letters.js";
import { showLive } from "./live.js";
import { showMessages } from "./messages.js";
import { showMetadata } from "./metadata.js";
import { ask, attempt, dialog, toast } from "./overlay.js";
import { Poll } from "./poll.js";
import { checked, tagsOf } from "./queues.js";
import { showSubscriptions } from "./subscriptions.js";

const EVERY_S = 2;

const TABS = {
  messages: ["Messages", showMessages],
  live: ["Live", showLive],
  claims: ["Claims", showClaims],
  subscriptions: ["Subscriptions", showSubscriptions],
  "dead-letters": ["Dead letters", showLetters],
  metadata: ["Metadata", showMetadata],
};

export function showQueue(app, name, first) {
  const { api } = app;
  const base = `#/queues/${encodeURIComponent(name)}`;
  let stopTab = () => {};
  let current = null;

  const tags = h("span", { class: "tags" });
  const vitals = Object.fromEntries(["Free", "Claimed", "Total", "Oldest", "Newest"].map(key => [key, h("dd", null, "–")]));
  const depth = new Chart("Messages", { names: ["Free", "Claimed"], stacked: true, show: count, points: app.points(`depth of ${name}`) });
  const pace = new Chart("Change", { names: ["Net"], show: rate, points: app.points(`pace of ${name}`) });
  const net = new Difference();
  const panel = h("section", { class: "panel", role: "tabpanel", tabindex: "-1", id: newId("panel") });
  const tabs = Object.entries(TABS).map(([key, [text]]) =>
    h("a", { href: `${base}/${key}`, role: "tab", id: `tab-${key}`, "aria-controls": panel.id, "data-tab": key, onkeydown: walk }, text),
  );

  put(
    app.main,
    h("header", { class: "head" },
      h("div", { class: "titles" },
        h("a", { class: "crumb", href: "#/queues" }, "Queues"),
        h("h1", { class: "mono" }, reveal(name)),
        tags),
      h("div", { class: "tools" },
        button("Post", () => post(queue), { kind: "primary", picture: "send" }),
        button("Claim", () => takeClaim(queue), { picture: "hand" }),
        button("Purge", () => purge(queue)),
        button("Delete", () => remove(queue), { kind: "danger", picture: "trash" }))),
    h("div", { class: "overview" },
      h("dl", { class: "vitals card" }, Object.entries(vitals).map(([text, value]) => h("div", null, h("dt", null, text), value))),
      h("div", { class: "charts" }, depth.element, pace.element)),
    h("nav", { class: "tabs", role: "tablist", "aria-label": `Parts of ${name}` }, tabs),
    panel,
  );

  const queue = {
    app,
    api,
    name,
    panel,
    /** The path of something in the queue. */
    path: (...rest) => api.queue(name, ...rest),
    metadata: {},
    stats: null,
    /** Called with the metadata whenever they were read. */
    onMetadata: null,
    /** Called when something was changed that a tab may show. */
    onChange: null,
    /** Called with each reading of the counts. */
    onStats: null,
    /** Read the counts now. */
    wake: () => poll.now(),
    changed() {
      this.wake();
      this.onChange?.();
    },
    async readMetadata(signal) {
      this.metadata = await api.get(this.path(), { signal });
      const seen = tagsOf(this.metadata);
      if (tags.dataset.seen !== seen.join("\n")) {
        tags.dataset.seen = seen.join("\n");
        put(tags, seen.map(one => h("span", { class: "tag" }, one)));
      }
      return this.metadata;
    },
  };

  const poll = new Poll(async signal => {
    const { messages } = await api.get(queue.path("stats"), { signal });
    queue.stats = messages;
    say(vitals.Free, count(messages.free));
    say(vitals.Claimed, count(messages.claimed));
    say(vitals.Total, count(messages.total));
    say(vitals.Oldest, messages.oldest ? span(messages.oldest.age) : "–");
    say(vitals.Newest, messages.newest ? span(messages.newest.age) : "–");
    const at = Date.now() / 1000;
    depth.push([messages.free, messages.claimed], at);
    pace.push([net.push(messages.total, at)], at);
    queue.onStats?.(messages);
  }, EVERY_S, app.told);
  attempt(() => queue.readMetadata());

  function walk(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = tabs[(tabs.indexOf(event.currentTarget) + by + tabs.length) % tabs.length];
    location.hash = next.getAttribute("href");
    next.focus();
  }

  function showTab(key) {
    const wanted = Object.hasOwn(TABS, key) ? key : "messages";
    if (wanted === current) return;
    current = wanted;
    stopTab();
    queue.onChange = queue.onStats = null;
    for (const tab of tabs) {
      const chosen = tab.dataset.tab === wanted;
      tab.setAttribute("aria-selected", String(chosen));
      tab.setAttribute("tabindex", chosen ? "0" : "-1");
      if (chosen) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    panel.setAttribute("aria-labelledby", `tab-${wanted}`);
    put(panel);
    here([
      ["p", "Post a message", () => post(queue)],
      ["c", "Claim messages", () => takeClaim(queue)],
      ["r", "Refresh", () => queue.changed()],
      ...Object.entries(TABS).map(([tab, [text]], index) => [String(index + 1), text, () => (location.hash = `${base}/${tab}`)]),
      ["u", "Back to all queues", () => app.go("/queues")],
    ]);
    stopTab = TABS[wanted][1](queue, also) ?? (() => {});
  }
  showTab(first);

  const stop = () => {
    stopTab();
    poll.stop();
    depth.stop();
    pace.stop();
  };
  stop.queue = name;
  stop.tab = showTab;
  return stop;
}

// -- posting ------------------------------------------------------------------------------------------------------------

const KINDS = { json: "JSON", text: "Text" };

function post(queue) {
  const body = h("textarea", { name: "body", class: "mono", rows: 9, spellcheck: "false", autofocus: true, placeholder: '{"event": "start"}' });
  const kind = h("select", { name: "kind" }, Object.entries(KINDS).map(([value, text]) => h("option", { value }, text)));
  const ttl = h("input", { name: "ttl", type: "number", min: 60, placeholder: String(queue.metadata._default_message_ttl ?? 3600) });
  const delays = Boolean(queue.metadata._default_message_delay);
  const delay = h("input", { name: "delay", type: "number", min: 0, placeholder: String(queue.metadata._default_message_delay) });
  const again = tick("Keep this open, to post another one");
  dialog(`Post to ${queue.name}`, {
    content: [
      field("Body", body, "JSON is posted as it is written here; text becomes a JSON string."),
      h("div", { class: "row" },
        field("Body is", kind),
        field("Lifetime in seconds", ttl),
        delays && field("Delay in seconds", delay)),
      again.element,
    ],
    action: "Post",
    wide: true,
    draft: queue.app.draft(`post to ${queue.name}`),
    run: async () => {
      let text = body.value;
      if (kind.value === "text") text = JSON.stringify(text);
      else if (!text.trim()) throw new FieldError(body, "Body is missing; null is a body, too.");
      else checked(text);
      const numbers = { ttl: numberIn(ttl), delay: delays ? numberIn(delay) : undefined };
      const members = Object.entries(numbers).filter(([, value]) => value !== undefined).map(([key, value]) => `"${key}": ${value}`);
      members.push(`"body": ${text}`);
      await queue.api.call("POST", queue.path("messages"), { body: `{"messages": [{${members.join(", ")}}]}` });
      toast(`Posted to ${queue.name}.`);
      queue.changed();
      if (!again.box.checked) return true;
      body.value = "";
      body.focus();
      return false;
    },
  });
}

// -- destroying ---------------------------------------------------------------------------------------------------------

function purge(queue) {
  const messages = tick("Messages", { checked: true });
  const subscriptions = tick("Subscriptions");
  const amount = queue.stats ? plural(queue.stats.total, "message") : "its messages";
  ask(
    `Purge ${queue.name}?`,
    `The queue has ${amount}, claimed ones included. What is purged is gone; the queue and its metadata stay.`,
    "Purge",
    async () => {
      const types = [messages.box.checked && "messages", subscriptions.box.checked && "subscriptions"].filter(Boolean);
      if (!types.length) throw new Error("Nothing is chosen.");
      await queue.api.call("POST", queue.path("purge"), { body: JSON.stringify({ resource_types: types }) });
      toast(`${queue.name} was purged of ${types.join(" and ")}.`);
      queue.changed();
    },
    { content: [messages.element, subscriptions.element] },
  );
}

async function remove(queue) {
  // What is in it now decides how it is asked.
  const found = await attempt(() => queue.api.get(queue.path("stats")));
  if (!found) return;
  const { total } = found.messages;
  ask(
    `Delete ${queue.name}?`,
    total
      ? `The queue, its metadata and ${plural(total, "message")} will be gone.`
      : "The queue is empty. It and its metadata will be gone.",
    "Delete queue",
    async () => {
      await queue.api.call("DELETE", queue.path());
      toast(`Queue ${queue.name} was deleted.`);
      queue.app.go("/queues");
    },
    { typed: total ? queue.name : "" },
  );
}
