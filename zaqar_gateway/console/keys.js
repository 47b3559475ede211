// Shortcuts: single keys, which do nothing where somebody types, and which can be switched off.

import { h, tick } from "./dom.js";
import { dialog } from "./overlay.js";

const OFF = "zaqar-gateway:no-shortcuts";
const layers = { all: [], view: [] };

/**
 * @typedef {[string, string, () => void]} Shortcut key, what it does, and that.
 */

/** Those that hold everywhere. @param {Shortcut[]} shortcuts */
export const everywhere = shortcuts => (layers.all = shortcuts);

/** Those of the view that is shown. @param {Shortcut[]} shortcuts */
export const here = shortcuts => (layers.view = shortcuts);

export const also = shortcuts => (layers.view = [...layers.view, ...shortcuts]);

const isOff = () => localStorage.getItem(OFF) === "1";

addEventListener("keydown", event => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]")) return;
  const target = event.target;
  if (target instanceof Element && target.closest("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") target.blur();
    return;
  }
  if (isOff() && event.key !== "?") return;
  const found = [...layers.view, ...layers.all].find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  found[2]();
});

/** The list of them. */
export function help() {
  const rows = [...layers.view, ...layers.all];
  const { box, element } = tick("Single keys do something", {
    checked: !isOff(),
    onchange: () => localStorage.setItem(OFF, box.checked ? "0" : "1"),
  });
  dialog("Shortcuts", {
    content: [
      h(
        "dl",
        { class: "shortcuts" },
        [...rows, ["Tab", "Next control"], ["Ctrl Enter", "Do what a dialog asks"], ["Esc", "Close a dialog, leave a field"]].map(([key, text]) => [
          h("dt", null, h("kbd", null, NAMES[key] ?? key)),
          h("dd", null, text),
        ]),
      ),
      element,
    ],
  });
}

const NAMES = { ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

/** Move the focus among the rows of the page. */
export function step(by) {
  const rows = [...document.querySelectorAll("main [data-row]")].filter(row => row.offsetParent !== null);
  if (!rows.length) return;
  const at = rows.findIndex(row => row === document.activeElement || row.contains(document.activeElement));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))];
  row.focus();
  row.scrollIntoView({ block: "nearest" });
}
