// The event stream: server-sent events over fetch, because EventSource neither says when it tries again nor waits longer
// from try to try. SPDX-License-Identifier: GPL-3.0-or-later
import { beside } from "./dom.js";

const FIRST_WAIT_MS = 500, MOST_WAIT_MS = 15000;
const SILENCE_MS = 40000;        // attuned sends a comment every 15 s
const MOST_TEXT = 1 << 20;       // of one event

export class Stream {
  // onEvent(type, object); onState("connecting" | "live" | "disconnected", seconds until the next try)
  constructor(url, onEvent, onState) {
    this.url = url;
    this.onEvent = onEvent;
    this.onState = onState;
    this.lastId = "";
    this.wait = FIRST_WAIT_MS;
    this.run();
  }

  async run() {
    for (let first = true; ; first = false) {
      if (first) this.onState("connecting", 0);
      try { await this.follow(); } catch { /* refused, cut off or silent: all the same here */ }
      const pause = this.wait * (0.75 + Math.random() / 2);
      this.wait = Math.min(2 * this.wait, MOST_WAIT_MS);
      await this.sleep(pause);
      this.onState("connecting", 0);
    }
  }

  async sleep(ms) {
    for (const end = Date.now() + ms; Date.now() < end;) {
      this.onState("disconnected", Math.ceil((end - Date.now()) / 1000));
      await new Promise(done => setTimeout(done, Math.min(1000, end - Date.now())));
    }
  }

  async follow() {
    const stop = new AbortController();
    let alarm = setTimeout(() => stop.abort(), SILENCE_MS);
    try {
      const headers = this.lastId ? { "Last-Event-ID": this.lastId } : {};
      const r = await fetch(beside(this.url), { headers, cache: "no-store", signal: stop.signal });
      if (!r.ok) throw new Error(r.status);
      this.wait = FIRST_WAIT_MS;
      this.onState("live", 0);
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(() => stop.abort(), SILENCE_MS);
        text = this.take(text + value);
        if (text.length > MOST_TEXT) throw new Error("an event without an end");
      }
    } finally {
      clearTimeout(alarm);
      stop.abort();
    }
  }

  // Handles whole events; returns what is left of the text.
  take(text) {
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      let type = "message", data = "";
      for (const line of text.slice(0, end).split("\n")) {
        if (line.startsWith("id: ")) this.lastId = line.slice(4);
        else if (line.startsWith("event: ")) type = line.slice(7);
        else if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) this.onEvent(type, JSON.parse(data));
    }
    return text;
  }
}
