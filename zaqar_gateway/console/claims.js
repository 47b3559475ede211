// Claims of a queue: those made here, and those that its messages tell of.

import { button, field, h, numberIn, put } from "./dom.js";
import { plural, preview, reveal, span } from "./format.js";
import { ask, dialog, toast } from "./overlay.js";
import { claimOf, nothing, redraw, toolbar, trouble } from "./parts.js";

const LOOKED_AT = 100;

const key = queue => `zaqar-gateway:claims:${queue.name}`;

function remembered(queue) {
  try {
    return JSON.parse(sessionStorage.getItem(key(queue))) ?? [];
  } catch {
    return [];
  }
}

const remember = (queue, ids) => sessionStorage.setItem(key(queue), JSON.stringify([...new Set(ids)].slice(-50)));

/** Claim messages. */
export function takeClaim(queue) {
  const limit = h("input", { type: "number", min: 1, value: 1, autofocus: true });
  const ttl = h("input", { type: "number", min: 60, placeholder: "300" });
  const grace = h("input", { type: "number", min: 60, placeholder: "60" });
  dialog(`Claim messages of ${queue.name}`, {
    content: [
      h("p", null, "The oldest free messages are kept from others until the claim ends. In queues with dead letters each claim counts."),
      h("div", { class: "row" },
        field("Most messages", limit),
        field("Lifetime in seconds", ttl, "Of the claim."),
        field("Grace in seconds", grace, "How long messages live at least after it.")),
    ],
    action: "Claim",
    run: async () => {
      const asked = { ttl: numberIn(ttl), grace: numberIn(grace) };
      const { status, headers } = await queue.api.call("POST", queue.path("claims"), { query: { limit: numberIn(limit, true) }, body: JSON.stringify(asked) });
      if (status === 204) throw new Error("There is no free message to claim.");
      const id = headers.get("Location").split("/").pop();
      remember(queue, [...remembered(queue), id]);
      queue.changed();
      queue.app.go(`/queues/${encodeURIComponent(queue.name)}/claims`);
    },
  });
}

export function showClaims(queue) {
  const { api, panel } = queue;
  const wrong = trouble();
  const list = h("div", { class: "cards", tabindex: "-1" });
  const other = h("input", { class: "mono", placeholder: "Id of a claim", "aria-label": "Id of a claim", spellcheck: "false", autocomplete: "off" });
  const open = h("form", { class: "inline", onsubmit: event => (event.preventDefault(), show(other.value.trim())) }, other, button("Open", null, { type: "submit" }));
  put(
    panel,
    toolbar(
      button("Claim messages", () => takeClaim(queue), { picture: "hand" }),
      button("Refresh", () => load(), { picture: "refresh", bare: true }),
      h("span", { class: "space" }),
      open,
    ),
    wrong.element,
    list,
  );

  async function show(id) {
    if (!id) return;
    await wrong.during(async () => {
      await api.get(queue.path("claims", id));
      remember(queue, [...remembered(queue), id]);
      other.value = "";
      await load();
    });
  }

  const load = () =>
    wrong.during(async () => {
      const page = await api.page(`${queue.path("messages")}?echo=true&include_claimed=true`, "messages", LOOKED_AT);
      const ids = new Set([...remembered(queue), ...page.items.map(claimOf).filter(Boolean)]);
      const claims = [];
      for (const id of ids) {
        try {
          claims.push({ id, ...(await api.get(queue.path("claims", id))) });
        } catch (error) {
          if (error.status !== 404) throw error;
          ids.delete(id);
        }
      }
      remember(queue, ids);
      if (claims.length) redraw(list, claims.map(draw));
      else redraw(list, h("div", { class: "card" }, nothing(
        h("p", null, "No claim is known."),
        h("p", { class: "muted" }, `The API lists no claims. Here are those made in this tab, and those of the first ${LOOKED_AT} messages.`))));
    });

  function draw(claim) {
    return h("article", { class: "card claim", "aria-label": `Claim ${claim.id}` },
      h("header", null,
        h("h2", { class: "mono" }, reveal(claim.id)),
        h("span", { class: "muted" }, `${plural(claim.messages.length, "message")} · ends in ${span(claim.ttl - claim.age)}`),
        h("span", { class: "space" }),
        button("Renew", () => renew(claim)),
        button("Release", () => release(claim))),
      claim.messages.length
        ? h("ul", { class: "lines" }, claim.messages.map(message =>
            h("li", null,
              h("span", { class: "mono text" }, preview(message.body)),
              button("Done", () => done(claim, message), { "data-row": true, "aria-label": `Done: delete message ${message.id}` }))))
        : h("p", { class: "muted pad" }, "All its messages are gone."));
  }

  function renew(claim) {
    const ttl = h("input", { type: "number", min: 60, value: claim.ttl, autofocus: true });
    dialog(`Renew claim ${claim.id}`, {
      content: [field("Lifetime in seconds, from now", ttl)],
      action: "Renew",
      run: async () => {
        const body = JSON.stringify({ ttl: numberIn(ttl) });
        await api.call("PATCH", queue.path("claims", claim.id), { body });
        toast("The claim was renewed.");
        queue.changed();
      },
    });
  }

  function release(claim) {
    ask(
      `Release claim ${claim.id}?`,
      `Its messages (${claim.messages.length}) can be claimed by others at once, though whoever made it may still be at work.`,
      "Release",
      async () => {
        await api.call("DELETE", queue.path("claims", claim.id));
        toast("The claim was released.");
        queue.changed();
      },
    );
  }

  function done(claim, message) {
    ask(`Delete message ${message.id}?`, "Its work is done, and it will be gone.", "Delete message", async () => {
      await api.call("DELETE", queue.path("messages", message.id), { query: { claim_id: claim.id } });
      toast("The message was deleted.");
      queue.changed();
    });
  }

  queue.onChange = load;
  load();
}
