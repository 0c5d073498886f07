// Server-sent events over fetch: unlike EventSource it sees the comments that prove a connection
// alive, the status of a refusal, and can be given up when nothing was heard for too long.

/** Thrown where the server answers, but not with a stream. */
export class StreamRefused extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

/**
 * Follow a stream until it ends or breaks.
 *
 * `onEvent({type, id, data})` for each event, `onHeard()` for every piece that arrives, comments
 * included; give up where the server does not answer within `answer_ms`, or where nothing arrives
 * for `silence_ms`. Returns when the server ends it; throws where it breaks.
 */
export async function follow(url, how) {
  const { lastEventId, onEvent, onHeard, signal, answer_ms, silence_ms } = how;
  const stop = new AbortController();
  const forward = () => stop.abort();
  signal.addEventListener("abort", forward);
  if (signal.aborted) stop.abort();
  addEventListener("offline", forward); // ask at once whether the server is still there
  let timer = setTimeout(forward, answer_ms);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(forward, silence_ms);
    onHeard();
  };
  try {
    const headers = { Accept: "text/event-stream" };
    if (lastEventId) headers["Last-Event-ID"] = lastEventId;
    const answer = await fetch(url, {
      headers,
      signal: stop.signal,
      cache: "no-store",
      credentials: "same-origin",
    });
    if (!answer.ok || !answer.body) throw new StreamRefused(answer.status);
    heard();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser(onEvent);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      parser.push(value);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", forward);
    removeEventListener("offline", forward);
    stop.abort();
  }
}

/** The event-stream format: https://html.spec.whatwg.org/multipage/server-sent-events.html */
export class Parser {
  #rest = "";
  #type = "";
  #id = null;
  #data = [];

  constructor(onEvent) {
    this.onEvent = onEvent;
  }

  push(text) {
    this.#rest += text;
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(this.#rest); // a \r at the very end may be half a \r\n
      if (end === null) return;
      const line = this.#rest.slice(0, end.index);
      this.#rest = this.#rest.slice(end.index + end[0].length);
      this.#line(line);
    }
  }

  #line(line) {
    if (line === "") {
      if (this.#data.length > 0) {
        this.onEvent({ type: this.#type || "message", id: this.#id, data: this.#data.join("\n") });
      }
      this.#type = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
  }
}
