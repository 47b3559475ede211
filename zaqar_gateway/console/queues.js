// All queues of the project.

import { isReached } from "./api.js";
import { button, field, FieldError, h, icon, put, say, textIn } from "./dom.js";
import { Chart, Difference, Spark } from "./chart.js";
import { count, parse, rate, reveal, span } from "./format.js";
import { here } from "./keys.js";
import { dialog, toast } from "./overlay.js";
import { each, Poll } from "./poll.js";

const PAGE = 20;
const EVERY_S = 2;
const AT_ONCE = 4;
/** How many requests a second a window makes in the long run, however many queues it shows. */
const REQUESTS_PER_S = 10;
const NAME_MAX = 64;

export function showQueues(app) {
  const { api } = app;
  const rows = new Map();
  let filter = "";
  let want = PAGE;
  let more = false;

  const total = h("span", { class: "count" });
  const search = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter queues by name", spellcheck: "false", autocapitalize: "off" });
  const body = h("tbody");
  const depth = new Chart("Messages", { names: ["Free", "Claimed"], stacked: true, show: count, points: app.points("depth") });
  const pace = new Chart("Change", { names: ["Net"], show: rate, points: app.points("pace") });
  const net = new Difference();
  const table = h(
    "table",
    { class: "queues" },
    h("thead", null, h("tr", null,
      h("th", { scope: "col" }, "Queue"),
      h("th", { scope: "col", class: "number" }, "Free"),
      h("th", { scope: "col", class: "number" }, "Claimed"),
      h("th", { scope: "col", class: "number" }, "Total"),
      h("th", { scope: "col", class: "number" }, "Oldest"),
      h("th", { scope: "col", class: "number" }, "Change"),
      h("th", { scope: "col", class: "trend" }, "Trend"))),
    body,
  );
  const empty = h("div", { class: "empty", hidden: true });
  const next = button("More queues", () => ((want += PAGE), poll.now()), { hidden: true });
  put(
    app.main,
    h("header", { class: "head" },
      h("h1", null, "Queues ", total),
      h("div", { class: "tools" },
        h("label", { class: "search" }, icon("search"), search),
        button("New queue", () => create(app), { kind: "primary", picture: "plus" }))),
    h("div", { class: "charts" }, depth.element, pace.element),
    h("div", { class: "card scroll" }, table, empty),
    h("div", { class: "more" }, next),
  );

  async function refresh(signal) {
    const query = new URLSearchParams({ detailed: "true", with_count: "true" });
    if (filter) query.set("name", filter);
    const asked = filter;
    const found = await api.page(`v2/queues?${query}`, "queues", want, { signal });
    if (asked !== filter) return 0;
    const all = found.first?.count ?? 0;
    more = Boolean(found.next) && (Boolean(filter) || found.items.length < all);
    const names = new Set(found.items.map(queue => queue.name));
    for (const [name, row] of rows) {
      if (names.has(name)) continue;
      row.element.remove();
      rows.delete(name);
    }
    found.items.forEach((queue, index) => {
      let row = rows.get(queue.name);
      if (!row) rows.set(queue.name, (row = makeRow(app, queue.name)));
      row.describe(queue.metadata);
      if (body.children[index] !== row.element) body.insertBefore(row.element, body.children[index] ?? null);
    });
    say(total, all ? count(all) : "");
    next.hidden = !more;
    table.hidden = !names.size;
    empty.hidden = Boolean(names.size);
    if (!names.size) {
      put(empty, filter ? h("p", null, "No queue has “", reveal(filter), "” in its name.") : [
        h("p", null, "There are no queues in this project yet."),
        h("p", { class: "muted" }, "A queue is made by the first message that is posted to it, or here."),
        button("New queue", () => create(app), { picture: "plus" }),
      ]);
    }
    // Those first that were not reached the last time, where the gateway refused to answer so much.
    const reached = [...rows].filter(([name]) => isReached(name)).sort(([, one], [, other]) => one.readAt - other.readAt);
    await each(reached, AT_ONCE, async ([name, row]) => row.count((await api.get(api.queue(name, "stats"), { signal })).messages));
    if (asked !== filter) return 0;
    const sums = [...rows.values()].map(row => row.last).filter(Boolean);
    const free = sums.reduce((sum, one) => sum + one.free, 0);
    const claimed = sums.reduce((sum, one) => sum + one.claimed, 0);
    const at = Date.now() / 1000;
    depth.push([free, claimed], at);
    pace.push([net.push(free + claimed, at)], at);
    return (found.asked + reached.length) / REQUESTS_PER_S;
  }

  const poll = new Poll(refresh, EVERY_S, app.told);
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => ((filter = search.value.trim()), poll.now()), 150);
  });
  here([
    ["/", "Filter", () => search.focus()],
    ["n", "New queue", () => create(app)],
    ["r", "Refresh", () => poll.now()],
  ]);
  return () => {
    poll.stop();
    depth.stop();
    pace.stop();
  };
}

function makeRow(app, name) {
  const path = `#/queues/${encodeURIComponent(name)}`;
  const link = h("a", { class: "name", href: path, "data-row": true }, reveal(name));
  const tags = h("span", { class: "tags" });
  const cells = Object.fromEntries(["free", "claimed", "total", "oldest", "change"].map(key => [key, h("td", { class: "number" }, "–")]));
  const labels = { free: "Free", claimed: "Claimed", total: "Total", oldest: "Oldest", change: "Change" };
  for (const [key, cell] of Object.entries(cells)) cell.setAttribute("data-label", labels[key]);
  cells.total.classList.add("sum");
  const spark = new Spark();
  const net = new Difference();
  const element = h(
    "tr",
    { onclick: event => event.target.closest("a") || getSelection().toString() || app.go(path.slice(1)) },
    h("th", { scope: "row" }, link, tags),
    Object.values(cells),
    h("td", { class: "trend" }, spark.element),
  );
  let described = "";
  const row = {
    element,
    last: null,
    readAt: 0,
    describe(metadata) {
      const text = tagsOf(metadata).join("\n");
      if (text === described) return;
      described = text;
      put(tags, tagsOf(metadata).map(tag => h("span", { class: "tag" }, tag)));
    },
    count(stats) {
      row.last = stats;
      row.readAt = performance.now();
      say(cells.free, count(stats.free));
      say(cells.claimed, count(stats.claimed));
      say(cells.total, count(stats.total));
      say(cells.oldest, stats.oldest ? span(stats.oldest.age) : "–");
      const change = net.push(stats.total, Date.now() / 1000);
      say(cells.change, change ? rate(change) : "0/s");
      cells.change.classList.toggle("up", change > 0.05);
      cells.change.classList.toggle("down", change < -0.05);
      for (const key of ["free", "claimed", "total"]) cells[key].classList.toggle("none", !stats[key]);
      spark.push(stats.total);
    },
  };
  return row;
}

/** What is worth knowing of a queue at a glance. */
export function tagsOf(metadata = {}) {
  return [
    metadata._dead_letter_queue && metadata._max_claim_count !== null
      ? `dead letters to ${preview64(metadata._dead_letter_queue)}`
      : "",
    metadata._default_message_delay ? `delay ${span(metadata._default_message_delay)}` : "",
    metadata._enable_encrypt_messages ? "encrypted" : "",
    metadata._flavor ? `flavor ${preview64(metadata._flavor)}` : "",
  ].filter(Boolean);
}

const preview64 = value => reveal(String(value).slice(0, 64));

function create(app) {
  const name = h("input", { name: "name", class: "mono", autocomplete: "off", spellcheck: "false", autocapitalize: "off", autofocus: true });
  const metadata = h("textarea", { name: "metadata", class: "mono", rows: 5, spellcheck: "false", placeholder: '{"_default_message_ttl": 3600}' });
  dialog("New queue", {
    content: [
      field("Name", name, `Letters a to z, digits, - _ and .; up to ${NAME_MAX}.`),
      h("details", null, h("summary", null, icon("chevron"), "Metadata"), field("Metadata", metadata, "A JSON object.")),
    ],
    action: "Create",
    draft: app.draft("new queue"),
    run: async () => {
      const wanted = textIn(name, "Name");
      // The gateway tells of a bad name as well, but for a slash, which leads to another path.
      if (!/^[\w.-]*$/.test(wanted)) throw new FieldError(name, "A name has letters a to z, digits, - _ and . only.");
      if (wanted.length > NAME_MAX) throw new FieldError(name, `This name has ${wanted.length} characters; it may have up to ${NAME_MAX}.`);
      const text = metadata.value.trim();
      if (text) checked(text);
      const { status } = await app.api.call("PUT", app.api.queue(wanted), { body: text || undefined });
      toast(status === 201 ? `Queue ${wanted} was created.` : `Queue ${wanted} was there already, and is as it was.`);
      app.go(`/queues/${encodeURIComponent(wanted)}`);
    },
  });
}

/** JSON text that somebody typed. @throws {Error} in words. */
export function checked(text) {
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}`);
  }
}

