// What is posted to a queue, as it comes.

import { button, h, icon, newId, put, say } from "./dom.js";
import { count, jsonView, preview, reveal, stringify } from "./format.js";
import { nothing, toolbar } from "./parts.js";
import { follow } from "./tail.js";

const KEPT = 500;
const HELD_MAX = 5000;

export function showLive(queue, also) {
  const { panel } = queue;
  let paused = false;
  let held = [];
  let dropped = 0;
  let seen = 0;
  let second = 0;
  const state = h("span", { class: "state", role: "status" }, h("i", { class: "dot" }), h("span", { class: "text" }));
  const counted = h("span", { class: "muted" });
  const filter = h("input", { type: "search", placeholder: "Filter by text", "aria-label": "Show only messages that have this text", spellcheck: "false", autocapitalize: "off" });
  const pause = button("Pause", () => setPaused(!paused), { picture: "pause", "aria-pressed": "false" });
  const clear = button("Clear", () => {
    put(lines);
    empty.hidden = false;
  });
  const lines = h("ol", { class: "tail", "aria-label": "Messages, the newest first" });
  const empty = nothing(h("p", null, "Messages are shown here as they are posted."), h("p", { class: "muted" }, "It takes a client that posts; claims and deletions make no difference."));
  put(
    panel,
    toolbar(state, counted, h("span", { class: "space" }), h("label", { class: "search" }, icon("search"), filter), pause, clear),
    h("div", { class: "card" }, empty, lines),
  );

  filter.addEventListener("input", () => {
    const wanted = filter.value;
    for (const line of lines.children) line.hidden = Boolean(wanted) && line.text !== undefined && !line.text.includes(wanted);
  });

  // Many a second are shown together, once for each picture that the browser draws.
  let waiting = [];
  let drawing = 0;
  const flush = () => {
    drawing = 0;
    const made = waiting.slice(-KEPT).map(draw).reverse();
    waiting = [];
    lines.prepend(...made);
    while (lines.children.length > KEPT) lines.lastChild.remove();
    empty.hidden = Boolean(lines.children.length);
  };
  function show(entry) {
    if (paused) {
      held.push(entry);
      if (held.length > HELD_MAX) dropped += held.splice(0, held.length - HELD_MAX).length;
      say(pause.querySelector("span"), `Go on (${count(held.length + dropped)})`);
      return;
    }
    waiting.push(entry);
    drawing ||= requestAnimationFrame(flush);
  }

  function setPaused(wanted) {
    paused = wanted;
    pause.setAttribute("aria-pressed", String(paused));
    say(pause.querySelector("span"), paused ? "Go on" : "Pause");
    pause.querySelector("svg").replaceWith(icon(paused ? "play" : "pause"));
    if (paused) return;
    if (dropped) show({ gap: `${count(dropped)} messages came while this was paused, and were too many to keep.` });
    for (const entry of held) show(entry);
    held = [];
    dropped = 0;
  }

  function draw(entry) {
    const time = h("time", null, new Date(entry.at ?? Date.now()).toLocaleTimeString("en-GB"));
    if (entry.gap) return h("li", { class: "gap" }, time, h("span", null, entry.gap));
    const more = h("div", { class: "more", hidden: true, id: newId("t") });
    const open = h("button", { type: "button", class: "body mono", "data-row": true, "aria-expanded": "false", "aria-controls": more.id, onclick: () => {
      more.hidden = !more.hidden;
      open.setAttribute("aria-expanded", String(!more.hidden));
      if (!more.hidden && !more.firstChild) more.append(jsonView(entry.message.body), entry.message.id ? h("small", { class: "mono muted" }, reveal(entry.message.id)) : "");
    } }, icon("chevron"), h("span", { class: "text" }, preview(entry.message.body)));
    const line = h("li", null, time, open, more);
    line.text = stringify(entry.message.body);
    line.hidden = Boolean(filter.value) && !line.text.includes(filter.value);
    return line;
  }

  const tail = follow(queue.api.session, queue.name, {
    message: message => {
      seen += 1;
      second += 1;
      show({ message, at: Date.now() });
    },
    gap: text => show({ gap: text, at: Date.now() }),
    state: (kind, text) => {
      state.classList.toggle("good", kind === "open");
      state.classList.toggle("bad", kind === "waiting" || kind === "ended");
      say(state.querySelector(".text"), text);
      // Who is connected again knows sooner than the counts, which wait longer and longer, that the gateway is there.
      if (kind === "open") queue.wake();
    },
  });
  const beat = setInterval(() => {
    say(counted, seen ? `${count(seen)} seen · ${count(second)}/s` : "");
    second = 0;
  }, 1000);
  also([
    ["s", "Stop the list for a while, or go on", () => setPaused(!paused)],
    ["/", "Show only with a text", () => filter.focus()],
  ]);

  return () => {
    clearInterval(beat);
    cancelAnimationFrame(drawing);
    tail.close();
  };
}
