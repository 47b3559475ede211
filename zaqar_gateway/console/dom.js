// Elements made of text: nothing that comes from elsewhere is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 *
 * @param {string} tag
 * @param {object} [props] attributes; a function is a listener (`onclick`), `true` an attribute without a value, and
 *   `null`, `undefined` and `false` none.
 * @param {...(Node|string|number|null|undefined|false|Array)} children text stays text.
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (/^on|^style$|^srcdoc$/i.test(name)) throw new TypeError(`${name} is no attribute for data`);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Give an element other children. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** Change a text where it is another one, so that nothing flickers and nothing is read aloud again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let lastId = 0;

/** An id that no other element has. */
export const newId = (prefix = "i") => `${prefix}${++lastId}`;

const ICONS = {
  back: "M10 3 5 8l5 5",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  plus: "M8 3v10M3 8h10",
  trash: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5",
  close: "M4 4l8 8M12 4l-8 8",
  chevron: "M6 4l4 4-4 4",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9",
  moon: "M13 9.3A5.5 5.5 0 1 1 6.7 3a4.4 4.4 0 0 0 6.3 6.3z",
  auto: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  out: "M6.5 3H3v10h3.5M10 5l3 3-3 3M13 8H6.5",
  send: "M8 13V4M4 7.5 8 3.5l4 4",
  hand: "M3 8h7M7.5 5 10.5 8l-3 3M13 3v10",
  copy: "M6 6h7v7H6zM3 10V3h7",
  edit: "M3 13l.6-2.7L10.8 3.1l2.1 2.1-7.2 7.2z",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8M10 10l3.2 3.2",
  play: "M5 3.5v9l7-4.5z",
  pause: "M5.5 4v8M10.5 4v8",
  keyboard: "M2 4.5h12v7H2zM4.5 7h.01M7 7h.01M9 7h.01M11.5 7h.01M5 9.5h6",
  undo: "M6 3 3 6l3 3M3 6h6a3.5 3.5 0 0 1 0 7H7",
};

/** A picture beside a text that says the same, or on a button that has a name. */
export function icon(name) {
  return s(
    "svg",
    { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true", focusable: "false" },
    s("path", { d: ICONS[name] }),
  );
}

/**
 * A button.
 *
 * @param {string} label what it does; without text, its name.
 */
export function button(label, run, { kind = "", picture = null, bare = false, type = "button", ...props } = {}) {
  return h(
    "button",
    {
      type,
      class: ["button", kind, bare ? "bare" : ""].filter(Boolean).join(" "),
      "aria-label": bare ? label : null,
      title: bare ? label : null,
      onclick: run ?? null,
      ...props,
    },
    picture && icon(picture),
    !bare && h("span", null, label),
  );
}

/** Run something while a button waits, so that it is not done twice. */
export async function busy(element, work) {
  if (element.getAttribute("aria-busy") === "true") return undefined;
  element.setAttribute("aria-busy", "true");
  try {
    return await work();
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** What is wrong with a field, to be said there. */
export class FieldError extends Error {
  constructor(control, message) {
    super(message);
    this.control = control;
  }
}

/** Do what a form is for; what is wrong is said at the field that it is about, or in the form's own place for it. */
export function submit(sent, wrong, work) {
  wrong.hidden = true;
  return busy(sent, async () => {
    try {
      await work();
    } catch (error) {
      if (error instanceof FieldError) return refuse(error);
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
    return undefined;
  });
}

/** Say at a field what is wrong with it, until it is changed. */
function refuse({ control, message }) {
  accept(control);
  control.closest("details")?.setAttribute("open", "");
  const note = h("small", { class: "refused", role: "alert", id: `${control.id}-refused` }, message);
  control.closest(".field").append(note);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", [...describing(control), note.id].join(" "));
  control.addEventListener("input", () => accept(control), { once: true });
  control.focus();
}

function accept(control) {
  const id = `${control.id}-refused`;
  document.getElementById(id)?.remove();
  control.removeAttribute("aria-invalid");
  const others = describing(control).filter(one => one !== id);
  if (others.length) control.setAttribute("aria-describedby", others.join(" "));
  else control.removeAttribute("aria-describedby");
}

const describing = control => (control.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean);

/** The text in a field that may not be empty. @throws {FieldError} */
export function textIn(input, what) {
  const value = input.value.trim();
  if (!value) throw new FieldError(input, `${what} is missing.`);
  return value;
}

/**
 * The number in a field; `undefined` where nothing is in it.  To a browser what is not a number has no value either, such as `1e`.
 *
 * @param {boolean} [needed] whether there has to be one.
 * @throws {FieldError}
 */
export function numberIn(input, needed = false) {
  const example = Math.max(1, Number(input.min));
  if (input.validity.badInput) throw new FieldError(input, `This is not a number; write one such as ${example}${needed ? "" : ", or nothing"}.`);
  if (input.value !== "") return Number(input.value);
  if (needed) throw new FieldError(input, `A number is missing, such as ${example}.`);
  return undefined;
}

/**
 * A field with its label.
 *
 * @param {HTMLElement} control
 * @param {string} [hint] what is right.
 */
export function field(label, control, hint = "") {
  control.id ||= newId("f");
  const told = hint ? h("small", { id: `${control.id}-hint` }, hint) : null;
  if (told) control.setAttribute("aria-describedby", told.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, told);
}

/** A box to tick, with its label. */
export function tick(label, props = {}) {
  const box = h("input", { type: "checkbox", ...props });
  return { box, element: h("label", { class: "tick" }, box, h("span", null, label)) };
}
