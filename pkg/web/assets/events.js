// Adds events to a list as they happen. The stream is read with fetch and not with EventSource, which hands over only the types
// that it was told beforehand, while any type may come. Positions make it exact: a broken stream goes on after the last one seen.
import { ago } from "./times.js";

const firstWait = 1000;
const longestWait = 15000;
const silence = 40000; // the server says something every 15 s; a connection that is this silent is dead
// As in events.go: the ends of types that tell of trouble short of a failure, and where subjects are shown.
const warnings = [".missed", ".skipped", ".paused", ".events_lost", ".dead_lettered"];
const pages = { table: "/table", subscription: "/subscription", delivery: "/subscription" };

class Live {
  constructor(box) {
    this.box = box;
    this.list = box.querySelector("ol");
    this.template = box.querySelector("template");
    this.state = box.querySelector(".live-state");
    this.button = box.querySelector("[data-pause]");
    this.cap = Number(box.dataset.cap);
    this.after = Number(box.dataset.after);
    this.waiting = [];
    this.missed = 0;
    this.wait = firstWait;
    this.paused = false;
    this.button.hidden = false;
    this.button.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => document.hidden ? this.stop() : this.start());
    addEventListener("pagehide", () => this.stop());
    addEventListener("pageshow", (event) => { if (event.persisted) this.start(); });
    this.start();
  }

  // A page in the background holds no connection: browsers allow six to a server in all.
  start() {
    if (this.abort || document.hidden) return;
    this.abort = new AbortController();
    this.run(this.abort.signal);
  }

  stop() {
    this.abort?.abort();
    this.abort = null;
  }

  async run(signal) {
    while (!signal.aborted) {
      let reason = "The connection broke";
      try {
        const answer = await fetch(this.address(), { headers: { Accept: "text/event-stream" }, cache: "no-store", signal });
        if (answer.status === 401 || answer.status === 403) return this.say("off", "Signed out. Reload the page to sign in.");
        if (!answer.ok) throw new Error(`The server answered ${answer.status}`);
        this.wait = firstWait;
        this.say("on", "Live");
        await this.read(answer.body, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error.message.startsWith("The server")) reason = error.message;
      }
      if (signal.aborted) return;
      this.say("off", `Disconnected. ${reason}; trying again in ${Math.ceil(this.wait / 1000)} s.`);
      await new Promise((done) => setTimeout(done, this.wait * (0.75 + Math.random() / 2)));
      this.wait = Math.min(this.wait * 2, longestWait);
    }
  }

  address() {
    const query = new URLSearchParams({ after: this.after });
    for (const name of ["type", "subject"]) if (this.box.dataset[name]) query.set(name, this.box.dataset[name]);
    return `/v1/events/stream?${query}`;
  }

  async read(body, signal) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const timer = setTimeout(() => reader.cancel(), silence);
      const { done, value } = await reader.read();
      clearTimeout(timer);
      if (done || signal.aborted) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
        if (data) this.take(data);
      }
    }
  }

  take(data) {
    let event;
    try { event = JSON.parse(data); } catch { return; }
    const position = Number(event.id);
    if (!(position > this.after)) return;
    this.after = position;
    this.waiting.push(event);
    if (this.waiting.length > this.cap) this.waiting.shift();
    if (this.paused) {
      this.missed++;
      this.say(this.state.dataset.state, this.words);
    } else {
      this.timer ??= setTimeout(() => this.flush(), 50);
    }
  }

  flush() {
    this.timer = null;
    if (this.paused) return;
    for (const event of this.waiting) this.list.prepend(this.item(event));
    this.waiting = [];
    while (this.list.childElementCount > this.cap) this.list.lastElementChild.remove();
    this.box.querySelector("[data-empty]").hidden = this.list.childElementCount > 0;
  }

  toggle() {
    this.paused = !this.paused;
    this.button.setAttribute("aria-pressed", String(this.paused));
    this.button.textContent = this.paused ? "Go on" : "Pause";
    this.missed = 0;
    this.flush();
    this.say(this.state.dataset.state, this.words);
  }

  say(state, words) {
    this.words = words;
    this.state.dataset.state = this.paused && state === "on" ? "paused" : state;
    if (this.paused) words = state === "off" ? words : `Paused, ${this.missed} new`;
    if (this.state.textContent !== words) this.state.textContent = words;
  }

  // item makes the same of an event as the template "event".
  item(event) {
    const item = this.template.content.firstElementChild.cloneNode(true);
    const find = (selector) => item.querySelector(selector);
    const type = event.type.replace(/^tinydev\./, "");
    item.dataset.position = event.id;
    item.classList.add("new");
    if (type.endsWith("failed")) item.classList.add("failed");
    else if (warnings.some((end) => type.endsWith(end))) item.classList.add("warning");
    find(".type").textContent = type;
    const subject = find(".subject");
    subject.textContent = plain(event.subject ?? "");
    subject.href = `${pages[type.split(".")[0]] ?? "/view"}?${new URLSearchParams({ name: event.subject ?? "" })}`;
    const time = find("time");
    const at = new Date(event.time);
    const stamp = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    time.dateTime = time.dataset.ago = at.toISOString();
    time.title = stamp;
    time.textContent = ago(at.toISOString(), false);
    const data = event.data ?? {};
    const message = find(".message");
    if (data.message) message.textContent = data.message;
    else message.remove();
    const facts = find(".facts");
    for (const [key, value] of Object.entries(data)) {
      if (value === null || key === "message") continue;
      const pair = facts.appendChild(document.createElement("div"));
      pair.appendChild(document.createElement("dt")).textContent = key;
      const inside = typeof value === "object" ? Object.keys(value).length : 0;
      const text = typeof value === "string" ? value : typeof value !== "object" ? String(value) : inside === 1 ? "1 entry" : `${inside} entries`;
      pair.appendChild(document.createElement("dd")).textContent = text.length > 300 ? `${text.slice(0, 300)}…` : text;
    }
    find("summary").textContent = `Data of event ${event.id}`;
    find(".hint").textContent = `${stamp}${event.actor ? `, by ${event.actor}` : ""}`;
    find("pre").textContent = JSON.stringify(data, null, 2);
    return item;
  }
}

// plain is plainName of format.go: a name without SQL's quotes.
function plain(full) {
  return full.replace(/""|"/g, (quotes) => quotes.length === 2 ? '"' : "");
}

for (const box of document.querySelectorAll("[data-events]")) new Live(box);
