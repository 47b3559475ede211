// Pools and flavors, for administrators.

import { button, field, h, icon, numberIn, put, say, textIn } from "./dom.js";
import { count, reveal, stringify } from "./format.js";
import { here } from "./keys.js";
import { ask, dialog, toast } from "./overlay.js";
import { nothing, trouble } from "./parts.js";
import { Poll } from "./poll.js";
import { checked } from "./queues.js";

const PAGE = 200;
const EVERY_S = 10;

/** A list of something that administrators make. */
function showList(app, { title, one, path, key, columns, row, edit, hint }) {
  const total = h("span", { class: "count" });
  const wrong = trouble();
  const list = h("div", { class: "card scroll" });
  const open = found => edit(found, () => poll.now());
  put(
    app.main,
    h("header", { class: "head" },
      h("h1", null, title, " ", total),
      h("div", { class: "tools" }, button(`New ${one}`, () => open(null), { kind: "primary", picture: "plus" }))),
    wrong.element,
    list,
  );
  let seen = "";
  const poll = new Poll(
    async signal => {
      const page = await app.api.page(`${path}?detailed=true`, key, PAGE, { signal });
      wrong.element.hidden = true;
      const text = stringify(page.items);
      if (text === seen) return; // rows that somebody is about to use stay as they are
      seen = text;
      say(total, page.items.length ? count(page.items.length) : "");
      put(
        list,
        page.items.length
          ? h("table", null,
              h("thead", null, h("tr", null, columns.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")))),
              h("tbody", null, page.items.map(found =>
                h("tr", null, row(found), h("td", { class: "actions" },
                  button("Edit", () => open(found), { "data-row": true, "aria-label": `Edit ${found.name}` }),
                  button("Delete", () => remove(found), { kind: "danger", "aria-label": `Delete ${found.name}` }))))))
          : nothing(h("p", null, `There are no ${title.toLowerCase()}.`), h("p", { class: "muted" }, hint)),
      );
    },
    EVERY_S,
    error => {
      app.told(error);
      if (error) wrong.during(() => Promise.reject(error));
    },
  );

  function remove(found) {
    ask(`Delete ${one} ${found.name}?`, `The ${one} will be gone. The gateway refuses where something still needs it.`, `Delete ${one}`, async () => {
      await app.api.call("DELETE", `${path}/${encodeURIComponent(found.name)}`);
      toast(`The ${one} ${found.name} was deleted.`);
      poll.now();
    }, { typed: found.name });
  }

  here([
    ["n", `New ${one}`, () => open(null)],
    ["r", "Refresh", () => poll.now()],
  ]);
  return () => poll.stop();
}

const nameInput = () => h("input", { class: "mono", spellcheck: "false", autocomplete: "off", autocapitalize: "off", autofocus: true, maxlength: 255 });

export function showPools(app) {
  function edit(found, done) {
    const name = found ? null : nameInput();
    const uri = h("input", { class: "mono", value: found?.uri ?? "", placeholder: "redis://127.0.0.1:6379", spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    const weight = h("input", { type: "number", min: 0, value: found?.weight ?? 100 });
    const flavor = h("input", { class: "mono", value: found?.flavor ?? "", spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    const options = h("textarea", { class: "mono", rows: 3, spellcheck: "false" });
    options.value = stringify(found?.options ?? {}, 2);
    dialog(found ? `Edit pool ${found.name}` : "New pool", {
      content: [
        name && field("Name", name),
        field("URI", uri, found ? "A password is not shown; where it is left as it is the URI is not changed." : "The store has to answer."),
        h("div", { class: "row" },
          field("Weight", weight, "New queues are shared by it."),
          field("Flavor", flavor, "May be empty.")),
        h("details", null, h("summary", null, icon("chevron"), "Options"), field("Options", options, "A JSON object.")),
      ],
      action: found ? "Save" : "Create",
      run: async () => {
        const path = `v2/pools/${encodeURIComponent(found ? found.name : textIn(name, "Name"))}`;
        const asked = { weight: numberIn(weight, true) };
        if (!found || uri.value.trim() !== found.uri) asked.uri = textIn(uri, "URI");
        if (flavor.value.trim() || found) asked.flavor = flavor.value.trim();
        checked(options.value);
        const body = `${JSON.stringify(asked).slice(0, -1)}, "options": ${options.value}}`;
        await app.api.call(found ? "PATCH" : "PUT", path, { body });
        toast(found ? "The pool was changed." : "The pool was made.");
        done();
      },
    });
  }
  return showList(app, {
    title: "Pools",
    one: "pool",
    path: "v2/pools",
    key: "pools",
    hint: "Queues are then in the store of the gateway's settings.",
    columns: [["Name", ""], ["URI", ""], ["Weight", "number"], ["Flavor", ""]],
    row: pool => [
      h("th", { scope: "row", class: "mono" }, reveal(pool.name)),
      h("td", { class: "mono break", "data-label": "URI" }, reveal(pool.uri)),
      h("td", { class: "number", "data-label": "Weight" }, count(pool.weight)),
      h("td", { class: "mono", "data-label": "Flavor" }, reveal(pool.flavor ?? "–")),
    ],
    edit,
  });
}

export function showFlavors(app) {
  function edit(found, done) {
    const name = found ? null : nameInput();
    const pools = h("textarea", { class: "mono", rows: 4, spellcheck: "false" });
    pools.value = (found?.pool_list ?? []).join("\n");
    dialog(found ? `Edit flavor ${found.name}` : "New flavor", {
      content: [name && field("Name", name), field("Pools", pools, "Their names, one a line.")],
      action: found ? "Save" : "Create",
      run: async () => {
        const path = `v2/flavors/${encodeURIComponent(found ? found.name : textIn(name, "Name"))}`;
        const list = pools.value.split("\n").map(line => line.trim()).filter(Boolean);
        await app.api.call(found ? "PATCH" : "PUT", path, { body: JSON.stringify({ pool_list: list }) });
        toast(found ? "The flavor was changed." : "The flavor was made.");
        done();
      },
    });
  }
  return showList(app, {
    title: "Flavors",
    one: "flavor",
    path: "v2/flavors",
    key: "flavors",
    hint: "A flavor is a set of pools that a queue can ask for, by _flavor in its metadata.",
    columns: [["Name", ""], ["Pools", ""], ["Capabilities", ""]],
    row: flavor => [
      h("th", { scope: "row", class: "mono" }, reveal(flavor.name)),
      h("td", { class: "mono break", "data-label": "Pools" }, reveal((flavor.pool_list ?? []).join(", ") || "–")),
      h("td", { class: "break", "data-label": "Capabilities" }, reveal((flavor.capabilities ?? []).join(", ") || "–")),
    ],
    edit,
  });
}
