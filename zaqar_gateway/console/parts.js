// What the tabs of a queue share.

import { h, icon, newId, put } from "./dom.js";
import { left } from "./format.js";

/** A row of tools over a list. */
export const toolbar = (...children) => h("div", { class: "toolbar" }, children);

/** A place for what went wrong in a tab. */
export function trouble() {
  const element = h("p", { class: "wrong", role: "alert", hidden: true });
  return {
    element,
    clear: () => (element.hidden = true),
    async during(work) {
      try {
        const result = await work();
        element.hidden = true;
        return result;
      } catch (error) {
        if (error.name === "AbortError") return undefined;
        element.textContent = error.message;
        element.hidden = false;
        return undefined;
      }
    },
  };
}

const rowsOf = list => [...list.querySelectorAll("[data-row]")];

/** Put the focus on a row of a list, on the last one where there are not so many, and on the list where there is none. */
export const focusRow = (list, at = 0) => (rowsOf(list)[at] ?? rowsOf(list).at(-1) ?? list).focus();

/** Give a list other rows.  Where it had the focus the row at that place has it again: the next one, after a deletion. */
export function redraw(list, ...children) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused?.closest("tr, li") ?? focused;
  const at = focused && rowsOf(list).findLastIndex(row => place.contains(row) || row.compareDocumentPosition(focused) & Node.DOCUMENT_POSITION_FOLLOWING);
  put(list, ...children);
  if (focused) focusRow(list, Math.max(0, at));
}

/** Said where there is nothing to list. */
export const nothing = (...children) => h("div", { class: "empty" }, children);

/** How long something lives yet. */
export const life = one => left(one.ttl, one.age);

/** The claim that holds a message, as its path says. */
export const claimOf = message => new URL(message.href, location.origin).searchParams.get("claim_id") ?? "";

/** A table of messages: `titles` are the headings behind those of the box and the body, each with its class. */
export const messageTable = (list, titles, rows) =>
  h("table", { class: "messages" },
    h("thead", null, h("tr", null,
      h("th", { class: "box" }, chooseAll(list)),
      h("th", { scope: "col" }, "Body"),
      titles.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))),
    h("tbody", null, rows));

/** A box that chooses one message; `told` hears that another number is chosen. */
export function chooseOne(chosen, { id }, told) {
  const box = h("input", { type: "checkbox", "aria-label": `Choose message ${id}`, onchange: () => {
    if (box.checked) chosen.add(id);
    else chosen.delete(id);
    told();
  } });
  return box;
}

/** What unfolds a row, and the row that it shows; what is in that is made when it is first seen. */
export function unfolding(columns, make, ...label) {
  const more = h("tr", { class: "more", hidden: true, id: newId("m") });
  const open = h("button", { type: "button", class: "body mono", "data-row": true, "aria-expanded": "false", "aria-controls": more.id, onclick: () => {
    more.hidden = !more.hidden;
    open.setAttribute("aria-expanded", String(!more.hidden));
    if (!more.hidden && !more.firstChild) more.append(h("td", { colspan: columns }, make()));
  } }, icon("chevron"), label);
  return [open, more];
}

/** A box that chooses all rows of a list, or none. */
function chooseAll(list) {
  const all = h("input", { type: "checkbox", "aria-label": "Choose all of this page", onchange: () => {
    for (const box of list.querySelectorAll("tbody input[type=checkbox]")) {
      box.checked = all.checked;
      box.dispatchEvent(new Event("change"));
    }
  } });
  return all;
}
