// What stands over the page: dialogs, questions before something is destroyed, and short notes.

import { append, button, field, h, newId, submit } from "./dom.js";

/**
 * A dialog with a form.  Escape, "Cancel" and a click beside it close it; what it was opened from has the focus again.
 *
 * What somebody has typed is not lost by a slip: a click beside the dialog then does nothing, and Escape closes it the second
 * time, or at once where there is a draft.
 *
 * @param {string} title
 * @param {object} what
 * @param {Array} what.content
 * @param {string} what.action the text of the button that does it; empty: there is nothing to do but to read.
 * @param {() => any} [what.run] does it; what it throws is shown, and the dialog stays, as it does after `false`.
 * @param {string} [what.kind] of that button: `primary` or `danger`.
 * @param {Map<string, string>} [what.draft] holds what was typed, by the names of fields, until it is sent or cancelled.
 */
export function dialog(title, { content, action = "", run, kind = "primary", wide = false, ready = null, draft = null }) {
  const heading = h("h2", { id: newId("d") }, title);
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const unsent = draft && isDraft(draft) ? h("p", { class: "note", role: "status" }, "This was typed before, and was not sent.") : null;
  const does = action ? button(action, null, { kind, type: "submit" }) : null;
  const form = h(
    "form",
    {
      novalidate: true,
      onsubmit: event => (event.preventDefault(), does && send()),
      onkeydown: event => event.key === "Enter" && (event.ctrlKey || event.metaKey) && does && send(),
      oninput: event => {
        warned = false;
        if (event.target.name) draft?.set(event.target.name, event.target.value);
      },
    },
    h("header", null, heading, button("Close", () => box.close(), { picture: "close", bare: true })),
    h("div", { class: "content" }, unsent, content),
    wrong,
    h("footer", null, button(action ? "Cancel" : "Close", cancel), does),
  );
  const box = h("dialog", { "aria-labelledby": heading.id, class: wide ? "wide" : "", onclose: () => box.remove() }, form);
  for (const control of unsent ? form.querySelectorAll("[name]") : []) {
    const text = draft.get(control.name);
    if (!text) continue;
    control.value = text;
    control.closest("details")?.setAttribute("open", "");
  }
  const texts = [...form.querySelectorAll("textarea, input:not([type=checkbox])")].map(control => [control, control.value]);
  const isTyped = () => (draft ? isDraft(draft) : kind !== "danger" && texts.some(([{ value }, first]) => value !== first && value.trim()));
  let warned = false;
  // A click beside the dialog, which only the dialog itself can be hit by.
  box.addEventListener("mousedown", event => event.target === box && !isTyped() && box.close());
  box.addEventListener("cancel", event => {
    if (draft || warned || !isTyped()) return;
    event.preventDefault();
    warned = true;
    wrong.textContent = "What you have typed would be lost. Press Escape once more to leave it.";
    wrong.hidden = false;
  });

  function cancel() {
    draft?.clear();
    box.close();
  }

  async function send() {
    if (does.disabled) return;
    await submit(does, wrong, async () => {
      const stays = (await run()) === false;
      draft?.clear();
      unsent?.remove();
      if (!stays) box.close();
    });
  }

  document.body.append(box);
  box.showModal();
  const first = form.querySelector("[autofocus]") ?? form.querySelector(".content input, .content textarea, .content select");
  (first ?? does ?? form.querySelector("footer button")).focus();
  ready?.({ box, submit: does });
  return box;
}

/** Whether there is a text in a draft. */
export const isDraft = draft => [...draft.values()].some(text => text.trim());

/** Close what stands over the page. */
export function closeDialogs() {
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
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
