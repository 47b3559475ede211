// What stands over the page: dialogs, questions before something is destroyed, and short notes.

import { append, busy, button, field, h, newId } from "./dom.js";

/**
 * A dialog with a form.  Escape and "Cancel" close it; what it was opened from has the focus again.
 *
 * @param {string} title
 * @param {object} what
 * @param {Array} what.content
 * @param {string} what.action the text of the button that does it; empty: there is nothing to do but to read.
 * @param {() => any} [what.run] does it; what it throws is shown, and the dialog stays, as it does after `false`.
 * @param {string} [what.kind] of that button: `primary` or `danger`.
 */
export function dialog(title, { content, action = "", run, kind = "primary", wide = false, ready = null }) {
  const heading = h("h2", { id: newId("d") }, title);
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const submit = action ? button(action, null, { kind, type: "submit" }) : null;
  const form = h(
    "form",
    {
      novalidate: true,
      onsubmit: event => (event.preventDefault(), submit && send()),
      onkeydown: event => event.key === "Enter" && (event.ctrlKey || event.metaKey) && submit && send(),
    },
    h("header", null, heading, button("Close", () => box.close(), { picture: "close", bare: true })),
    h("div", { class: "content" }, content),
    wrong,
    h("footer", null, button(action ? "Cancel" : "Close", () => box.close()), submit),
  );
  const box = h("dialog", { "aria-labelledby": heading.id, class: wide ? "wide" : "", onclose: () => box.remove() }, form);
  // A click beside the dialog, which only the dialog itself can be hit by.
  box.addEventListener("mousedown", event => event.target === box && box.close());

  async function send() {
    if (submit.disabled) return;
    wrong.hidden = true;
    await busy(submit, async () => {
      try {
        if ((await run()) !== false) box.close();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
      }
    });
  }

  document.body.append(box);
  box.showModal();
  const first = form.querySelector("[autofocus]") ?? form.querySelector(".content input, .content textarea, .content select");
  (first ?? submit ?? form.querySelector("footer button")).focus();
  ready?.({ box, submit });
  return box;
}

/**
 * Ask before something is destroyed.
 *
 * @param {string} title what would be done, with the name of what it is done to.
 * @param {string} action the text of the button.
 * @param {object} [more]
 * @param {string} [more.typed] a name that has to be typed first.
 */
export function ask(title, text, action, run, { typed = "", content = [] } = {}) {
  const input = typed ? h("input", { autocomplete: "off", spellcheck: "false", autocapitalize: "off", autofocus: true }) : null;
  dialog(title, {
    content: [
      h("p", null, text),
      content,
      input && field(`Type ${typed} to confirm`, input),
    ],
    action,
    kind: "danger",
    run,
    ready: ({ submit }) => {
      if (!input) return;
      submit.disabled = true;
      input.addEventListener("input", () => (submit.disabled = input.value !== typed));
    },
  });
}

/** Say for a while that something was done, or why not. */
export function toast(text, kind = "done") {
  const note = h("p", { class: `toast ${kind}` }, text);
  const place = document.getElementById("toasts");
  append(place, [note]);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => note.remove(), kind === "done" ? 4000 : 8000);
}

/** Do something, and say in a note why it could not be done. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "failed");
    return undefined;
  }
}
