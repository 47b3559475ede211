// How things look: numbers, times, and JSON just as it was posted.

import { h } from "./dom.js";

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = value => GROUPED.format(value);
export const short = value => (Math.abs(value) < 10000 ? GROUPED : SHORT).format(value).replace("-", "−");
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A rate with its sign, in something a second. */
export function rate(value) {
  const rounded = Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value);
  return `${rounded > 0 ? "+" : rounded < 0 ? "−" : ""}${short(Math.abs(rounded))}/s`;
}

/** A number of seconds as people say it. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** What is left of a life. */
export const left = (ttl, age) => (ttl - age > 0 ? span(ttl - age) : "ending");

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A text in which nothing hides: characters without a look, and those that turn text around, are written as escapes. */
export function reveal(text) {
  return String(text).replace(UNSEEN, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A number that JavaScript cannot hold as it is written. */
export class Exact {
  constructor(text) {
    this.text = text;
  }
}

const ENTRIES = Symbol("entries");

/** The members of an object as they were written: a repeated name as often, and numbers among the names where they stood. */
export const entriesOf = object => object[ENTRIES] ?? Object.entries(object);

const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]|[^\s{}[\]:,"]+/g;

/** JSON to a value, of which {@link stringify} makes the same again, but for spaces and escapes: numbers and members are as they were. */
export function parse(text) {
  const value = JSON.parse(text); // says what is wrong; what follows takes JSON for granted
  try {
    return readFrom(text.match(TOKENS).values());
  } catch (error) {
    if (error instanceof RangeError) return value; // nested so deeply that it cannot be walked through
    throw error;
  }
}

function readFrom(tokens, token = tokens.next().value) {
  const inside = [];
  if (token === "[") {
    while ((token = tokens.next().value) !== "]") inside.push(readFrom(tokens, token));
    return inside;
  }
  if (token === "{") {
    while ((token = tokens.next().value) !== "}") inside.push([JSON.parse(token), readFrom(tokens)]);
    const object = Object.fromEntries(inside);
    const names = Object.keys(object);
    const isKept = names.length === inside.length && names.every((name, index) => name === inside[index][0]);
    return isKept ? object : Object.defineProperty(object, ENTRIES, { value: inside });
  }
  const value = JSON.parse(token);
  return typeof value === "number" && String(value) !== token ? new Exact(token) : value;
}

/** A value as JSON text. */
export function stringify(value, indent = 0) {
  try {
    return written(value, indent ? "\n" : "", " ".repeat(indent));
  } catch (error) {
    if (error instanceof RangeError) return "(nested too deeply to be shown)";
    throw error;
  }
}

/** @param {string} margin what stands before the end of what is written; nothing on one line. */
function written(value, margin, step) {
  if (value instanceof Exact) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const deeper = margin + step;
  const parts = Array.isArray(value)
    ? value.map(one => written(one, deeper, step))
    : entriesOf(value).map(([name, one]) => `${JSON.stringify(name)}:${step && " "}${written(one, deeper, step)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return parts.length ? `${open}${deeper}${parts.join(`,${deeper}`)}${margin}${close}` : open + close;
}

/** The first characters of a value, on one line. */
export function preview(value, length = 300) {
  const text = reveal(stringify(value));
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

const PARTS_MAX = 4000;
const DEPTH_MAX = 100;
const PLAIN_MAX = 300_000;

/** A value as JSON with colours; what is very long, or nested very deeply, comes without. */
export function jsonView(value) {
  const view = h("pre", { class: "json", tabindex: "0", role: "group", "aria-label": "JSON" });
  const made = { parts: 0 };
  const coloured = document.createDocumentFragment();
  if (paint(value, "", 0, coloured, made)) {
    view.append(coloured);
  } else {
    const text = stringify(value, 2);
    view.textContent = revealLines(text.length > PLAIN_MAX ? `${text.slice(0, PLAIN_MAX)}\n…` : text);
  }
  return view;
}

const revealLines = text => text.split("\n").map(reveal).join("\n");

function paint(value, margin, depth, into, made) {
  if (++made.parts > PARTS_MAX || depth > DEPTH_MAX) return false;
  const deeper = `${margin}  `;
  if (Array.isArray(value)) {
    if (!value.length) return write(into, "[]");
    into.append("[\n");
    for (const [index, one] of value.entries()) {
      into.append(deeper);
      if (!paint(one, deeper, depth + 1, into, made)) return false;
      into.append(index < value.length - 1 ? ",\n" : "\n");
    }
    return write(into, `${margin}]`);
  }
  if (value !== null && typeof value === "object" && !(value instanceof Exact)) {
    const entries = entriesOf(value);
    if (!entries.length) return write(into, "{}");
    into.append("{\n");
    for (const [index, [key, one]] of entries.entries()) {
      into.append(deeper, h("span", { class: "key" }, reveal(JSON.stringify(key))), ": ");
      if (!paint(one, deeper, depth + 1, into, made)) return false;
      into.append(index < entries.length - 1 ? ",\n" : "\n");
    }
    return write(into, `${margin}}`);
  }
  const kind = typeof value === "string" ? "string" : value === null || typeof value === "boolean" ? "word" : "number";
  into.append(h("span", { class: kind }, reveal(stringify(value))));
  return true;
}

function write(into, text) {
  into.append(text);
  return true;
}
