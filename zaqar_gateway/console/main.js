// The frame around the views: who is signed in, what is shown, and the way between.

import { Api } from "./api.js";
import { button, h, icon, put, say } from "./dom.js";
import { span } from "./format.js";
import { everywhere, help, here, step } from "./keys.js";
import { ask, closeDialogs, isDraft, toast } from "./overlay.js";
import { nothing } from "./parts.js";
import { Poll } from "./poll.js";
import { showPools, showFlavors } from "./pools.js";
import { showQueue } from "./queue.js";
import { showQueues } from "./queues.js";
import { forget, load, save } from "./session.js";
import { showSignIn } from "./signin.js";

const THEME = "zaqar-gateway:theme";
const RESUME_EVERY_S = 2;
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
  /** What would be lost if one went elsewhere, in words; nothing where nothing would be. */
  unsaved: () => "",
  /** What somebody has typed into a form and not sent, by the names of its fields. */
  draft: key => {
    if (!drafts.has(key)) drafts.set(key, new Map());
    return drafts.get(key);
  },
  /** The points of a chart, which it goes on with when its view is shown again. */
  points: key => {
    if (!charted.has(key)) charted.set(key, []);
    return charted.get(key);
  },
};

const charted = new Map();
/** These outlive a session that has ended by itself, for who goes on; they are in no store, as bodies may be secret. */
const drafts = new Map();
const areDrafts = () => [...drafts.values()].some(isDraft);

let owner = "";
let shown = "";
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
  closeDialogs();
  showSignIn(main, enter, why && areDrafts() ? `${why} What you have typed is kept for you.` : why);
}

const ENDED = "Your token has ended; please sign in again.";

/** Why the gateway does not take a session: it may find before this page does, or by a clock of its own, that the token has ended. */
const refused = (session, error) => (session.expires && session.expires < Date.now() + 1000 ? ENDED : error.message);

/** Whoever comes next begins at the beginning; a session that has ended by itself goes on where it was. */
function signOut() {
  unlessLost("Sign out", () => {
    history.replaceState(null, "", "#/queues");
    drafts.clear();
    leave();
  });
}

/** Do what the view is left by; first ask, where something would be lost. */
function unlessLost(action, run) {
  const lost = app.unsaved();
  if (!lost) return run();
  return ask(`${action} without saving?`, `${lost} would be lost.`, action, () => {
    app.unsaved = () => "";
    run();
  });
}

/**
 * Go on with a session, if the gateway takes it.
 *
 * @throws {ApiError} it does not, or does not answer.
 */
async function enter(session, signal) {
  const api = new Api(session, error => app.api === api && leave(refused(session, error)));
  const home = await api.get("v2/", { signal });
  save(session);
  const comes = JSON.stringify([session.project, session.user]);
  if (comes !== owner) drafts.clear();
  owner = comes;
  app.has = new Set(Object.keys(home.resources).map(name => name.replace("rel/", "")));
  app.api = api;
  drawBar(session);
  route();
}

/** Go on with the session of this tab, as soon as the gateway answers: a token is not given away because it is busy, or Keystone is. */
function resume(session) {
  const why = h("p", { class: "wrong", role: "alert" });
  const poll = new Poll(signal => enter(session, signal), RESUME_EVERY_S, error => {
    if (!error) return;
    if (error.status === 401 || error.status === 403) {
      leave(refused(session, error));
      return;
    }
    say(why, error.message);
    if (why.isConnected) return;
    put(main, h("div", { class: "card" }, nothing(
      why,
      h("p", { class: "muted" }, "You are still signed in; this goes on by itself once there is an answer."),
      h("div", { class: "tools" }, button("Try again", () => poll.now(), { kind: "primary" }), button("Sign out", signOut)))));
  });
  stop = () => poll.stop();
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
    if (seconds <= 0) leave(ENDED);
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
  if (!app.api) return undefined;
  // Wherever one goes, what a dialog asks is about where one was.
  closeDialogs();
  const wanted = location.hash;
  if (wanted !== shown && app.unsaved()) {
    history.replaceState(null, "", shown);
    return unlessLost("Leave", () => app.go(wanted));
  }
  shown = wanted;
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
addEventListener("beforeunload", event => (app.unsaved() || areDrafts()) && event.preventDefault());
const known = load();
if (known) resume(known);
else leave();
