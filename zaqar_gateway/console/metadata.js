// Metadata of a queue: what the gateway goes by, and whatever else is noted there.

import { button, busy, h, newId, put } from "./dom.js";
import { plural, reveal, stringify } from "./format.js";
import { ask, dialog, toast } from "./overlay.js";
import { toolbar, trouble } from "./parts.js";
import { checked } from "./queues.js";

const PATCH = "application/openstack-messaging-v2.0-json-patch";

const KNOWN = {
  _default_message_ttl: "Lifetime of messages posted without one, in seconds.",
  _default_message_delay: "Delay of messages posted without one, in seconds; 0 lets nothing be delayed.",
  _max_messages_post_size: "The most bytes of a post.",
  _max_claim_count: "How often a message may be claimed before it is a dead letter.",
  _dead_letter_queue: "The queue that dead letters go to.",
  _dead_letter_queue_messages_ttl: "Lifetime that they get there, in seconds.",
  _enable_encrypt_messages: "Whether bodies are stored encrypted.",
};

export function showMetadata(queue) {
  const { api, app, panel } = queue;
  const draft = app.draft(`metadata of ${queue.name}`);
  const wrong = trouble();
  const rows = h("div", { class: "card" });
  let was = {};
  let fields = [];
  const save = button("Save", () => send(), { kind: "primary", disabled: true });
  const undo = button("Undo", () => (wrong.clear(), draw()), { disabled: true });
  put(
    panel,
    toolbar(
      button("Add a key", () => add(), { picture: "plus" }),
      button("Refresh", () => (unsaved() ? toast("Save or undo your changes first.", "failed") : load()), { picture: "refresh", bare: true }),
      h("span", { class: "space" }),
      undo,
      save,
    ),
    wrong.element,
    h("form", { novalidate: true, onsubmit: event => (event.preventDefault(), send()) }, rows),
  );

  const load = () =>
    wrong.during(async () => {
      was = await queue.readMetadata();
      const kept = [...draft];
      draw();
      restore(kept);
    });

  function draw() {
    fields = [];
    const own = Object.keys(was).filter(name => !Object.hasOwn(KNOWN, name));
    put(
      rows,
      h("div", { class: "pairs" }, Object.keys(KNOWN).filter(name => Object.hasOwn(was, name)).map(name => row(name, was[name], KNOWN[name]))),
      h("h2", { class: "sub pad" }, "Other keys"),
      h("div", { class: "pairs", id: "own-keys" }, own.map(name => row(name, was[name], ""))),
      own.length ? null : h("p", { class: "muted pad", id: "no-keys" }, "There are none."),
    );
    edited();
  }

  function row(name, value, hint, isNew = false) {
    const input = h("input", { class: "mono", id: newId("k"), spellcheck: "false", autocomplete: "off", autocapitalize: "off", oninput: edited });
    input.value = value === undefined ? "" : stringify(value);
    const known = Object.hasOwn(KNOWN, name);
    const entry = { name, input, first: input.value, isNew, removed: false, toggle };
    fields.push(entry);
    const told = hint ? h("small", { id: `${input.id}-hint` }, hint) : null;
    if (told) input.setAttribute("aria-describedby", told.id);
    function toggle() {
      entry.removed = !entry.removed;
      element.classList.toggle("removed", entry.removed);
      input.disabled = entry.removed;
      edited();
    }
    const drop = button(known ? `Default for ${name}` : `Remove ${name}`, toggle, { bare: true, picture: known ? "undo" : "trash" });
    const element = h("div", { class: "pair" },
      h("label", { for: input.id, class: "mono break" }, reveal(name), told),
      input,
      drop);
    return element;
  }

  const differing = () => fields.filter(one => one.removed || one.isNew || one.input.value.trim() !== one.first);

  const unsaved = () => (differing().length ? plural(differing().length, "change") : "");

  function edited() {
    save.disabled = undo.disabled = !unsaved();
    save.querySelector("span").textContent = `Save ${unsaved()}`.trim();
    draft.clear();
    for (const one of differing()) draft.set(one.name, JSON.stringify([one.input.value, one.removed]));
  }

  /** Go on with what was not saved when the session ended. */
  function restore(kept) {
    for (const [name, text] of kept) {
      const [value, removed] = JSON.parse(text);
      const entry = fields.find(one => one.name === name) ?? addRow(name);
      entry.input.value = value;
      if (removed) entry.toggle();
    }
    edited();
  }

  function addRow(name) {
    const element = row(name, undefined, "", true);
    document.getElementById("no-keys")?.remove();
    document.getElementById("own-keys").append(element);
    edited();
    return fields.at(-1);
  }

  function add() {
    const name = h("input", { class: "mono", spellcheck: "false", autocomplete: "off", autocapitalize: "off", autofocus: true, maxlength: 255 });
    name.id = newId("f");
    dialog("Add a key", {
      content: [h("div", { class: "field" }, h("label", { for: name.id }, "Key"), name)],
      action: "Add",
      run: () => {
        const wanted = name.value.trim();
        if (!wanted) throw new Error("Key is missing.");
        if (fields.some(one => one.name === wanted)) throw new Error(`${wanted} is there already.`);
        const { input } = addRow(wanted);
        // Once the dialog has given the focus back.
        setTimeout(() => input.focus());
      },
    });
  }

  function operations() {
    return differing()
      .filter(one => !(one.isNew && one.removed))
      .map(one => {
        const path = `/metadata/${one.name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
        if (one.removed) return `{"op": "remove", "path": ${JSON.stringify(path)}}`;
        const text = one.input.value.trim();
        try {
          checked(text);
        } catch (error) {
          one.input.focus();
          throw new Error(`${one.name}: ${error.message}. Text stands in quotes.`);
        }
        return `{"op": "add", "path": ${JSON.stringify(path)}, "value": ${text}}`;
      });
  }

  async function send() {
    if (save.disabled) return;
    const text = await wrong.during(async () => `[${operations().join(", ")}]`);
    if (!text) return;
    const patch = async () => {
      try {
        await api.call("PATCH", queue.path(), { body: text, type: PATCH });
      } catch (error) {
        if (error.status !== 404) throw error;
        // The metadata of a queue that is not there can be read, and not changed.
        throw new Error(`${error.message} A queue is made by a first message, or by “New queue”.`);
      }
      draft.clear();
      return true;
    };
    const saved = async () => {
      await load();
      // Not before: who hears of it goes on, and the fields are not drawn anew under their hands.
      toast("The metadata were saved.");
    };
    const removed = differing().filter(one => one.removed && !one.isNew && !Object.hasOwn(KNOWN, one.name));
    if (!removed.length) {
      if (await wrong.during(() => busy(save, patch))) await saved();
      return;
    }
    ask(
      `Remove ${removed.map(one => one.name).join(", ")}?`,
      `${removed.length === 1 ? "The key and its value" : "The keys and their values"} will be gone from ${queue.name}.`,
      "Save",
      async () => {
        await patch();
        await saved();
      },
    );
  }

  // What somebody is changing is not read anew under their hands.
  queue.onChange = () => unsaved() || load();
  app.unsaved = () => unsaved() && `${unsaved()} to the metadata of ${queue.name}`;
  load();
  return () => {
    app.unsaved = () => "";
    // Who leaves was asked; but whose session has ended goes on with it.
    if (app.api) draft.clear();
  };
}

