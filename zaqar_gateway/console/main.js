// The frame around the views: who is signed in, what is shown, and the way between.

import { Api } from "./api.js";
import { button, h, icon, put, say } from "./dom.js";
import { span } from "./format.js";
import { everywhere, help, here, step } from "./keys.js";
import { attempt, toast } from "./overlay.js";
import { showPools, showFlavors } from "./pools.js";
import { showQueue } from "./queue.js";
import { showQueues } from "./queues.js";
import { forget, load, save } from "./session.js";
import { showSignIn } from "./signin.js";

const THEME = "zaqar-gateway:theme";
const THEMES = { auto: "auto", light: "sun", dark: "moon" };

const bar = document.getElementById("bar");
const main = document.getElementById("main");

/** What views have of the frame. */
const app = {
  api: null,
  main,
  /** The documents that the gateway says it has. */
  has: new Set(),
  go: path => (location.hash = path),
  told,
  /** The points of a chart, which it goes on with when its view is shown again. */
  points: key => {
    if (!charted.has(key)) charted.set(key, []);
    return charted.get(key);
  },
};

const charted = new Map();

let stop = () => {};
let status = null;
let clock = 0;

// -- the look ----------------------------------------------------------------------------------------------------------

function theme() {
  const chosen = localStorage.getItem(THEME);
  return Object.hasOwn(THEMES, chosen) ? chosen : "auto";
}

function dress() {
  const chosen = theme();
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme()) + 1) % names.length];
  localStorage.setItem(THEME, next);
  dress();
  drawTheme();
  toast(next === "auto" ? "Light or dark, as the system is." : `Always ${next}.`);
}

function drawTheme() {
  const place = document.getElementById("theme");
  if (!place) return;
  const name = `Theme: ${theme()}`;
  place.setAttribute("aria-label", name);
  place.setAttribute("title", name);
  put(place, icon(THEMES[theme()]));
}

// -- who is signed in --------------------------------------------------------------------------------------------------

function leave(why = "") {
  forget();
  app.api = null;
  charted.clear();
  stop();
  stop = () => {};
  clearInterval(clock);
  bar.hidden = true;
  put(bar);
  here([]);
  document.title = "Sign in · zaqar-gateway";
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  showSignIn(main, enter, why);
}

/** Whoever comes next begins at the beginning; a session that has ended by itself goes on where it was. */
function signOut() {
  history.replaceState(null, "", "#/queues");
  leave();
}

async function enter(session) {
  save(session);
  const api = new Api(session, error => app.api === api && leave(error.message));
  // Who may not use the API is told so where they signed in.
  const home = await attempt(() => api.get("v2/"));
  if (home === undefined) return leave();
  app.has = new Set(Object.keys(home.resources).map(name => name.replace("rel/", "")));
  app.api = api;
  drawBar(session);
  route();
  return undefined;
}

function drawBar(session) {
  const pools = app.has.has("pools");
  const links = [["Queues", "#/queues"], ...(pools ? [["Pools", "#/pools"], ["Flavors", "#/flavors"]] : [])];
  status = h("span", { class: "state", role: "status" }, h("i", { class: "dot" }), h("span", { class: "text" }, "Connecting"));
  const ends = h("small", { class: "ends" });
  const who = session.userName ? `${session.userName} · ${session.projectName}` : session.projectName;
  put(
    bar,
    h("a", { class: "brand", href: "#/queues", "aria-label": "zaqar-gateway console" }, h("img", { src: "icon.svg", alt: "", width: 22, height: 22 }), h("span", null, "zaqar-gateway")),
    h("nav", { "aria-label": "Main" }, links.map(([text, href]) => h("a", { href }, text))),
    status,
    h("span", { class: "who", title: `Project ${session.project}` }, h("span", { class: "label" }, "Project"), h("b", null, who), ends),
    h("span", { class: "tools" },
      button("Theme", nextTheme, { bare: true, picture: "auto", id: "theme" }),
      button("Shortcuts", help, { bare: true, picture: "keyboard" }),
      button("Sign out", signOut, { bare: true, picture: "out" })),
  );
  bar.hidden = false;
  drawTheme();
  const tick = () => {
    const seconds = (session.expires - Date.now()) / 1000;
    if (seconds <= 0) leave("Your token has ended; please sign in again.");
    else say(ends, `ends in ${span(seconds)}`);
  };
  if (session.expires) {
    tick();
    clock = setInterval(tick, 1000);
  }
}

/** Show whether the gateway answers. */
function told(error) {
  if (!status) return;
  status.classList.toggle("bad", Boolean(error));
  status.classList.toggle("good", !error);
  const text = !error ? "Live" : error.status === 0 ? "Not reachable" : `Error ${error.status}`;
  say(status.querySelector(".text"), text);
  status.title = error ? error.message : "";
}

// -- what is shown -----------------------------------------------------------------------------------------------------

function route() {
  if (!app.api) return;
  const parts = location.hash.replace(/^#\/?/, "").split("/").map(part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return "";
    }
  });
  const [area, name, tab] = parts;
  if (area === "queues" && name && stop.queue === name) return stop.tab(tab || "messages");
  stop();
  here([]);
  put(main);
  const views = { queues: () => (name ? showQueue(app, name, tab || "messages") : showQueues(app)), pools: () => showPools(app), flavors: () => showFlavors(app) };
  const known = Object.hasOwn(views, area) ? area : "queues";
  stop = views[known]() ?? (() => {});
  for (const link of bar.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${known}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${name || known[0].toUpperCase() + known.slice(1)} · zaqar-gateway`;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
  return undefined;
}

everywhere([
  ["j", "Next row", () => step(1)],
  ["k", "Row before", () => step(-1)],
  ["q", "Queues", () => app.api && app.go("/queues")],
  ["t", "Light, dark, or as the system is", nextTheme],
  ["?", "This list", help],
]);

dress();
addEventListener("hashchange", route);
const known = load();
if (known) enter(known);
else leave();
