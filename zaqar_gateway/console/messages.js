// The messages of a queue, page by page.

import { button, busy, h, put, say, tick } from "./dom.js";
import { count, jsonView, plural, preview, reveal, span, stringify } from "./format.js";
import { ask, toast } from "./overlay.js";
import { chooseOne, claimOf, focusRow, life, messageTable, nothing, redraw, toolbar, trouble, unfolding } from "./parts.js";
import { each } from "./poll.js";

const PAGE = 20;
const AT_ONCE = 4;

export function showMessages(queue, also) {
  const { api, panel } = queue;
  let before = [];
  let at = "";
  let next = "";
  let shown = [];
  const chosen = new Set();
  const wrong = trouble();
  const list = h("div", { class: "card", tabindex: "-1" });
  const claimed = tick("Claimed", { checked: true, onchange: first });
  const delayed = tick("Delayed", { checked: true, onchange: first });
  const which = h("span", { class: "muted" });
  const removeChosen = button("Delete chosen", () => removeMany(), { kind: "danger", picture: "trash", hidden: true });
  const back = button("Previous", () => turn(-1), { disabled: true });
  const forth = button("Next", () => turn(1), { disabled: true });
  const refresh = button("Refresh", () => load(), { picture: "refresh", bare: true });
  put(
    panel,
    toolbar(claimed.element, delayed.element, refresh, removeChosen, h("span", { class: "space" }), which, back, forth),
    wrong.element,
    list,
  );

  function start() {
    const query = new URLSearchParams({ echo: "true" });
    query.set("include_claimed", String(claimed.box.checked));
    query.set("include_delayed", String(delayed.box.checked));
    return `${queue.path("messages")}?${query}`;
  }

  function first() {
    before = [];
    at = "";
    return load();
  }

  function turn(by) {
    if (by > 0) {
      before.push(at);
      at = next;
    } else {
      at = before.pop() ?? "";
    }
    return load();
  }

  const load = () =>
    busy(list, () =>
      wrong.during(async () => {
        const page = await api.page(at || start(), "messages", PAGE, { sure: true });
        shown = page.items;
        next = page.next;
        chosen.clear();
        draw();
      }),
    );

  function draw() {
    back.disabled = !before.length;
    forth.disabled = !next;
    say(which, before.length || next ? `Page ${count(before.length + 1)}` : plural(shown.length, "message"));
    const toList = removeChosen === document.activeElement;
    removeChosen.hidden = true;
    const titles = [["Age", "number"], ["Ends in", "number"], ["Id"]];
    redraw(list, shown.length ? messageTable(list, titles, shown.map(draw1)) : nothing(h("p", null, before.length ? "There are no further messages." : "There is nothing to show in this queue.")));
    if (toList) focusRow(list);
  }

  function tellChosen() {
    removeChosen.hidden = !chosen.size;
    say(removeChosen.querySelector("span"), `Delete ${plural(chosen.size, "message")}`);
  }

  function draw1(message) {
    const claim = claimOf(message);
    const [open, more] = unfolding(
      5,
      () => details(message, claim),
      claim && h("span", { class: "tag held" }, "claimed"),
      h("span", { class: "text" }, preview(message.body)),
    );
    return [
      h("tr", null,
        h("td", { class: "box" }, chooseOne(chosen, message, tellChosen)),
        h("td", { class: "wide" }, open),
        h("td", { class: "number", "data-label": "Age" }, span(message.age)),
        h("td", { class: "number", "data-label": "Ends in" }, life(message)),
        h("td", { class: "mono id", "data-label": "Id" }, reveal(message.id))),
      more,
    ];
  }

  function details(message, claim) {
    return h("div", { class: "details" },
      jsonView(message.body),
      h("div", { class: "facts" },
        h("dl", null,
          h("dt", null, "Id"), h("dd", { class: "mono" }, reveal(message.id)),
          h("dt", null, "Lifetime"), h("dd", null, span(message.ttl)),
          claim && [h("dt", null, "Claim"), h("dd", { class: "mono" }, reveal(claim))],
          message.checksum && [h("dt", null, "Checksum"), h("dd", { class: "mono" }, reveal(message.checksum))]),
        h("div", { class: "tools" },
          navigator.clipboard && button("Copy body", () => copy(message), { picture: "copy" }),
          button("Delete", () => remove(message, claim), { kind: "danger", picture: "trash" }))));
  }

  async function copy(message) {
    try {
      await navigator.clipboard.writeText(stringify(message.body, 2));
      toast("The body was copied.");
    } catch {
      toast("The browser does not let the page copy.", "failed");
    }
  }

  const destroy = (message, claim) => api.call("DELETE", queue.path("messages", message.id), { query: { claim_id: claim } });

  function remove(message, claim) {
    ask(
      `Delete message ${message.id}?`,
      claim
        ? `It is under claim ${claim}: somebody is working on it. It will be deleted under that claim.`
        : `It is in ${queue.name}, and will be gone.`,
      "Delete message",
      async () => {
        await destroy(message, claim);
        toast("The message was deleted.");
        queue.changed();
      },
    );
  }

  function removeMany() {
    const many = shown.filter(one => chosen.has(one.id));
    const held = many.filter(claimOf).length;
    ask(
      `Delete ${plural(many.length, "message")} of ${queue.name}?`,
      held
        ? `${plural(held, "of them is", "of them are")} under a claim: somebody may be working there. All will be deleted.`
        : "They will be gone.",
      `Delete ${plural(many.length, "message")}`,
      async () => {
        // One by one: how many a request may name, and whether it has to name their claims, are settings of the gateway.
        const failed = [];
        await each(many, AT_ONCE, one => destroy(one, claimOf(one)).catch(error => failed.push(error)));
        queue.changed();
        if (failed.length) throw new Error(`${plural(failed.length, "message")} could not be deleted: ${failed[0].message}`);
        toast(`${plural(many.length, "message")} deleted.`);
      },
    );
  }

  queue.onChange = load;
  let known = "";
  queue.onStats = stats => {
    const now = [stats.total, stats.claimed, stats.newest?.href, stats.oldest?.href].join();
    const previous = known;
    known = now;
    // What somebody reads, or has chosen, stays where it is.
    const isRead = list.contains(document.activeElement) || list.querySelector("[aria-expanded=true]") || chosen.size;
    if (previous && previous !== now && !before.length && !isRead) load();
  };
  also([["x", "Choose the message, or not", () => document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click()]]);
  load();
}
