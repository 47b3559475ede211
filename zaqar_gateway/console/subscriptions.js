// Who is told of the messages of a queue, and how that goes.

import { button, field, h, numberIn, put } from "./dom.js";
import { jsonView, plural, preview, reveal, span, stringify } from "./format.js";
import { ask, attempt, dialog, toast } from "./overlay.js";
import { life, nothing, redraw, toolbar, trouble } from "./parts.js";
import { checked } from "./queues.js";

const PAGE = 100;

export function showSubscriptions(queue) {
  const { api, panel } = queue;
  const wrong = trouble();
  const list = h("div", { class: "card scroll", tabindex: "-1" });
  const failed = h("div", { tabindex: "-1" });
  put(
    panel,
    toolbar(
      button("Subscribe", () => edit(null), { picture: "plus" }),
      button("Refresh", () => load(), { picture: "refresh", bare: true }),
    ),
    wrong.element,
    list,
    failed,
  );

  const load = () =>
    wrong.during(async () => {
      const page = await api.page(queue.path("subscriptions"), "subscriptions", PAGE, { sure: true });
      const gaveUp = await failures();
      draw(page, gaveUp);
    });

  /** What was given up, where this gateway lets one see it. */
  async function failures() {
    try {
      return { ...(await api.page(queue.path("deliveries"), "deliveries", PAGE, { sure: true })), why: "" };
    } catch (error) {
      if (error.status !== 403 && error.status !== 404) throw error;
      return { items: [], why: error.status === 403 ? error.message : "This gateway does not show them: admin_mode is off." };
    }
  }

  function draw(page, gaveUp) {
    const counts = new Map();
    for (const one of gaveUp.items) counts.set(one.subscription_id, (counts.get(one.subscription_id) ?? 0) + 1);
    redraw(
      list,
      page.items.length
        ? h("table", { class: "subscriptions" },
            h("thead", null, h("tr", null,
              h("th", { scope: "col" }, "Subscriber"),
              h("th", { scope: "col" }, "Delivery"),
              h("th", { scope: "col", class: "number" }, "Age"),
              h("th", { scope: "col", class: "number" }, "Ends in"),
              h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")))),
            h("tbody", null, page.items.map(one => draw1(one, counts.get(one.id) ?? 0, gaveUp))))
        : nothing(h("p", null, "Nobody is subscribed to this queue.")),
      page.next ? h("p", { class: "muted pad" }, `These are the first ${PAGE}.`) : null,
    );
    drawFailed(gaveUp);
  }

  function draw1(one, given, { why, next }) {
    const options = stringify(one.options);
    const told = given ? h("span", { class: "tag bad" }, `${given}${next ? " or more" : ""} given up`) : h("span", { class: "tag good" }, "nothing given up");
    const states = [
      one.confirmed ? h("span", { class: "tag good" }, "confirmed") : h("span", { class: "tag" }, "not confirmed"),
      // Of whom the first ones do not tell, further ones might.
      !why && (given || !next) && told,
    ];
    return h("tr", { "data-row": true, tabindex: "-1" },
      h("td", { class: "wide" },
        h("div", { class: "mono break" }, reveal(one.subscriber)),
        h("small", { class: "mono muted break" }, reveal(one.id), options !== "{}" && ` ${preview(one.options, 160)}`)),
      h("td", { "data-label": "Delivery" }, h("span", { class: "tags" }, states)),
      h("td", { class: "number", "data-label": "Age" }, span(one.age)),
      h("td", { class: "number", "data-label": "Ends in" }, life(one)),
      h("td", { class: "actions" },
        button(one.confirmed ? "Suspend" : "Confirm", () => confirm(one), { "aria-label": `${one.confirmed ? "Suspend" : "Confirm"} ${one.subscriber}` }),
        button("Edit", () => edit(one), { "aria-label": `Edit ${one.subscriber}` }),
        button("Delete", () => remove(one), { kind: "danger", "aria-label": `Delete ${one.subscriber}` })));
  }

  function drawFailed({ items, next, why }) {
    if (why) {
      put(failed, h("p", { class: "muted pad" }, `Given-up deliveries: ${why}`));
      return;
    }
    if (!items.length) {
      redraw(failed);
      return;
    }
    redraw(
      failed,
      h("header", { class: "sub" },
        h("h2", null, "Given up"),
        h("span", { class: "muted" }, next ? `These are the first ${items.length}.` : plural(items.length, "delivery", "deliveries")),
        h("span", { class: "space" }),
        button("Send all again", () => resend(), { picture: "undo" })),
      h("div", { class: "card scroll" },
        h("table", { class: "given-up" },
          h("thead", null, h("tr", null,
            h("th", { scope: "col" }, "Subscriber"),
            h("th", { scope: "col" }, "Reason"),
            h("th", { scope: "col", class: "number" }, "Attempts"),
            h("th", { scope: "col", class: "number" }, "Age"),
            h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")))),
          h("tbody", null, items.map(one =>
            h("tr", { "data-row": true, tabindex: "-1" },
              h("td", { class: "mono break" }, reveal(one.subscriber)),
              h("td", { class: "break", "data-label": "Reason" }, reveal(one.reason)),
              h("td", { class: "number", "data-label": "Attempts" }, one.attempts),
              h("td", { class: "number", "data-label": "Age" }, span(one.age)),
              h("td", { class: "actions" }, button("Send again", () => resend(one), { "aria-label": `Send again to ${one.subscriber}` }))))))),
    );
  }

  /** Send one again, or all that there are, more than are shown included. */
  const resend = one =>
    attempt(async () => {
      const body = one && JSON.stringify({ ids: [one.id] });
      const { data } = await api.call("POST", queue.path("deliveries"), { body });
      toast(`${plural(data.count, "delivery", "deliveries")} will be sent again.`);
      load();
    });

  const confirm = one =>
    attempt(async () => {
      await api.call("PUT", queue.path("subscriptions", one.id, "confirm"), { body: JSON.stringify({ confirmed: !one.confirmed }) });
      toast(one.confirmed ? "The subscriber is not confirmed any more." : "The subscriber is confirmed.");
      load();
    });

  function edit(one) {
    const subscriber = h("input", { name: "subscriber", class: "mono", value: one?.subscriber ?? "", placeholder: "https://example.org/hook", spellcheck: "false", autocapitalize: "off", autofocus: true });
    const ttl = h("input", { name: "ttl", type: "number", min: 60, value: one?.ttl ?? "", placeholder: "3600" });
    const options = h("textarea", { name: "options", class: "mono", rows: 5, spellcheck: "false" });
    options.value = one ? stringify(one.options, 2) : "";
    dialog(one ? "Edit subscription" : `Subscribe to ${queue.name}`, {
      content: [
        field("Subscriber", subscriber, "An http, https or mailto URI."),
        field("Lifetime in seconds", ttl, one ? "From now." : ""),
        field("Options", options, "A JSON object, such as post_headers or _retry_policy; may be empty."),
      ],
      action: one ? "Save" : "Subscribe",
      draft: one ? null : queue.app.draft(`subscribe to ${queue.name}`),
      run: async () => {
        const seconds = numberIn(ttl);
        const members = [`"subscriber": ${JSON.stringify(subscriber.value.trim())}`];
        if (seconds !== undefined) members.push(`"ttl": ${seconds}`);
        const text = options.value.trim() || (one ? "{}" : "");
        if (text) {
          checked(text);
          members.push(`"options": ${text}`);
        }
        const body = `{${members.join(", ")}}`;
        if (one) await api.call("PATCH", queue.path("subscriptions", one.id), { body });
        else await api.call("POST", queue.path("subscriptions"), { body });
        toast(one ? "The subscription was changed." : "The subscription was made.");
        load();
      },
    });
  }

  function remove(one) {
    ask(
      "Delete this subscription?",
      "The subscriber is told of nothing any more:",
      "Delete subscription",
      async () => {
        await api.call("DELETE", queue.path("subscriptions", one.id));
        toast("The subscription was deleted.");
        load();
      },
      { content: [h("p", { class: "mono break" }, reveal(one.subscriber)), Object.keys(one.options).length ? jsonView(one.options) : null] },
    );
  }

  queue.onChange = load;
  load();
}
