// Dead letters: messages that were claimed too often, in the queue that they were moved to.

import { button, busy, field, h, numberIn, put, say } from "./dom.js";
import { count, jsonView, plural, preview, reveal, span } from "./format.js";
import { dialog, toast } from "./overlay.js";
import { chooseOne, life, messageTable, nothing, redraw, toolbar, trouble, unfolding } from "./parts.js";

const PAGE = 20;

export function showLetters(queue) {
  const { api, panel } = queue;
  const wrong = trouble();
  const where = h("p", { class: "note", hidden: true });
  const list = h("div", { class: "card scroll", tabindex: "-1" });
  const chosen = new Set();
  let before = [];
  let at = "";
  let next = "";
  const send = button("Send back", () => back(), { picture: "undo" });
  const which = h("span", { class: "muted" });
  const previous = button("Previous", () => ((at = before.pop() ?? ""), load()), { disabled: true });
  const forth = button("Next", () => (before.push(at), (at = next), load()), { disabled: true });
  put(
    panel,
    toolbar(send, button("Refresh", () => load(), { picture: "refresh", bare: true }), h("span", { class: "space" }), which, previous, forth),
    wrong.element,
    where,
    list,
  );

  function tellWhere(metadata) {
    const target = metadata._dead_letter_queue;
    const known = typeof target === "string" && target && metadata._max_claim_count !== null;
    where.hidden = !known;
    if (known) {
      put(
        where,
        `Messages of this queue that were claimed ${metadata._max_claim_count} times go to `,
        h("a", { href: `#/queues/${encodeURIComponent(target)}/dead-letters` }, reveal(target)),
        ".",
      );
    }
  }

  const load = () =>
    busy(list, () =>
      wrong.during(async () => {
        tellWhere(await queue.readMetadata());
        let page;
        try {
          page = await api.page(at || queue.path("dead_letters"), "dead_letters", PAGE, { sure: true });
        } catch (error) {
          if (error.status !== 404) throw error;
          send.disabled = true;
          put(list, nothing(h("p", null, "This gateway does not tell dead letters from other messages.")));
          return;
        }
        next = page.next;
        previous.disabled = !before.length;
        forth.disabled = !next;
        chosen.clear();
        draw(page.items);
      }),
    );

  function tellChosen() {
    say(send.querySelector("span"), chosen.size ? `Send ${plural(chosen.size, "message")} back` : "Send back");
  }

  function draw(letters) {
    tellChosen();
    send.disabled = !letters.length;
    say(which, before.length || next ? `Page ${count(before.length + 1)}` : plural(letters.length, "message"));
    const titles = [["From", "from"], ["Claims", "number"], ["Age", "number"], ["Ends in", "number"]];
    redraw(list, letters.length ? messageTable(list, titles, letters.map(draw1)) : nothing(h("p", null, before.length ? "There are no further dead letters." : "There are no dead letters in this queue.")));
  }

  function draw1(letter) {
    const details = () => h("div", { class: "details" },
      jsonView(letter.body),
      h("div", { class: "facts" }, h("dl", null,
        h("dt", null, "Id"), h("dd", { class: "mono" }, reveal(letter.id)),
        h("dt", null, "Why"), h("dd", null, reveal(letter.reason)),
        h("dt", null, "Moved"), h("dd", null, reveal(letter.moved_at ?? "–")))));
    const [open, more] = unfolding(6, details, h("span", { class: "text" }, preview(letter.body)));
    return [
      h("tr", null,
        h("td", { class: "box" }, chooseOne(chosen, letter, tellChosen)),
        h("td", { class: "wide" }, open),
        h("td", { class: "mono from", "data-label": "From" }, reveal(letter.queue_name ?? "–")),
        h("td", { class: "number", "data-label": "Claims" }, letter.claim_count ?? "–"),
        h("td", { class: "number", "data-label": "Age" }, span(letter.age)),
        h("td", { class: "number", "data-label": "Ends in" }, life(letter))),
      more,
    ];
  }

  function back() {
    const ids = [...chosen];
    const limit = h("input", { type: "number", min: 1, max: 1000, value: 100, autofocus: !ids.length });
    const target = h("input", { class: "mono", placeholder: "where each came from", spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    const pace = h("input", { type: "number", min: 0.01, max: 1000, step: "any", placeholder: "at once" });
    dialog(ids.length ? `Send ${plural(ids.length, "message")} back?` : `Send messages of ${queue.name} back?`, {
      content: [
        h("p", null, "They can be claimed again, and their claims are counted from 0. What somebody has claimed here stays."),
        !ids.length && field("Most messages", limit, "The oldest first."),
        h("div", { class: "row" },
          field("To the queue", target),
          field("Messages a second", pace, "So that workers are not flooded.")),
      ],
      action: "Send back",
      run: async () => {
        const asked = ids.length ? { ids } : { limit: numberIn(limit, true) };
        if (target.value.trim()) asked.destination = target.value.trim();
        asked.rate = numberIn(pace);
        const { data } = await api.call("POST", queue.path("dead_letters", "return"), { body: JSON.stringify(asked) });
        toast(`${plural(data.returned, "message")} sent back, ${data.remaining} left.`);
        before = [];
        at = "";
        queue.changed();
      },
    });
  }

  queue.onChange = load;
  load();
}
