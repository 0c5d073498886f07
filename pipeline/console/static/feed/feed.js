// The alerts that this page knows, and the connection that keeps them up to date.
//
// Loading and following fit together without a gap: a page of alerts says up to which event of the
// feed it is complete; the feed is followed from there, and whatever a page brings later is dropped
// where an event has told more since. So no alert is lost or doubled, however often the connection
// breaks.

import { StreamRefused, follow } from "/static/feed/sse.js";

export const PINNED_PRIORITY = 2; // alerts this urgent stay on top until somebody decides
const FIRST_PAGE = 100; // enough for what can be seen
const PAGE = 500;
const MOST = 10_000;
const ENOUGH = 5_000; // how far back alerts are loaded; those that wait for a decision: all
const SILENCE_MS = 25_000; // the server says something every 10 s
const ANSWER_MS = 8_000;
const RETRY_MS = [400, 5_000];
const TELL_MS = 16; // many events at once are shown in one step
const LOST_AFTER_MS = 1_500; // a shorter break is not worth a red banner

/** Newest first, by when the alert was received; a decision moves nothing. */
export const newestFirst = (one, other) =>
  one.received_at < other.received_at ? 1 : one.received_at > other.received_at ? -1 : 0;

/** Whether an alert stays on top: urgent, not decided, not taken back. */
export const isPinned = (alert) =>
  alert.priority <= PINNED_PRIORITY && alert.review.state === "unverified" && !alert.retracted;

export class Feed {
  alerts = new Map(); // by id
  checkpoints = new Map(); // by name, as the feed tells of them
  /** Rises whenever anything changes. */
  version = 0;
  loaded = false;
  link = {
    status: "connecting", // connecting, live or lost
    lostAt: null,
    lastHeardAt: null,
    lastEventAt: null,
    problem: null, // the server's words for what is wrong behind it
    replaced: false,
  };
  #api;
  #told = new Map(); // by id: sequence of the event that told of it last
  #position = null; // {feedId, sequence}: up to where the feed is known
  #generation = 0; // of the store: what was asked of an earlier one counts no more
  #before = null; // ids that were known before the feed was replaced
  #listeners = new Set();
  #newListeners = new Set();
  #stop = new AbortController();
  #wake = () => {};
  #telling = null;
  #pinned = { version: -1, alerts: [] };

  constructor(api) {
    this.#api = api;
  }

  /** Call `listener` after changes; returns how to stop. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Call `listener(alert, before)` for each alert that is new or was amended since the start. */
  onNew(listener) {
    this.#newListeners.add(listener);
    return () => this.#newListeners.delete(listener);
  }

  /** Pinned alerts: the most urgent first, then the newest. */
  undecided() {
    if (this.#pinned.version !== this.version) {
      const alerts = [...this.alerts.values()].filter(isPinned);
      alerts.sort((one, other) => one.priority - other.priority || newestFirst(one, other));
      this.#pinned = { version: this.version, alerts };
    }
    return this.#pinned.alerts;
  }

  start() {
    this.#run();
  }

  stop() {
    this.#stop.abort();
    clearTimeout(this.#telling);
  }

  /** Do not wait for the next try. */
  reconnect() {
    this.#wake();
  }

  dismissReplaced() {
    this.link.replaced = false;
    this.#tell();
  }

  /** Take in what the server answered to a decision, before the feed tells of it. */
  take(alert) {
    this.alerts.set(alert.id, alert);
    this.#tell();
  }

  async #run() {
    let wait = RETRY_MS[0];
    while (!this.#stop.signal.aborted) {
      try {
        if (this.#position === null) await this.#load();
        await this.#follow(() => {
          wait = RETRY_MS[0];
        });
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        const status = error instanceof StreamRefused ? error.status : (error.status ?? 0);
        if (status === 401) {
          this.#api.onSignedOut();
          return;
        }
      }
      if (this.#stop.signal.aborted) return;
      this.#lose();
      await this.#pause(wait);
      wait = Math.min(wait * 2, RETRY_MS[1]);
    }
  }

  /** The connection is gone. A break that is soon over is no reason for a red banner. */
  #lose() {
    const { link } = this;
    if (link.status !== "lost") link.status = "connecting";
    if (link.lostAt === null) {
      link.lostAt = Date.now();
      setTimeout(() => {
        if (link.lostAt === null || this.#stop.signal.aborted) return;
        link.status = "lost";
        this.#tell();
      }, LOST_AFTER_MS);
    }
    this.#tell();
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        removeEventListener("online", done);
        resolve();
      };
      const timer = setTimeout(done, ms * (0.75 + Math.random() / 2));
      addEventListener("online", done);
      this.#wake = done;
      this.#stop.signal.addEventListener("abort", done, { once: true });
    });
  }

  /** The first page; older ones, and whatever waits for a decision, follow beside the feed. */
  async #load() {
    const first = await this.#page({ limit: FIRST_PAGE });
    const feed = first.feed;
    this.#position = { feedId: feed.feed_id, sequence: feed.sequence };
    this.#takePage(first);
    this.loaded = true;
    this.#announce(first.alerts);
    this.#tell();
    this.#loadOlder(first.next_page_token, this.#generation);
  }

  /** What came while the feed was replaced is news; what was known before is not told again. */
  #announce(alerts) {
    const before = this.#before;
    this.#before = null;
    if (before === null) return;
    for (const alert of alerts) {
      if (before.has(alert.id) || alert.review.state !== "unverified") continue;
      for (const listener of this.#newListeners) listener(alert, null, "alert");
    }
  }

  async #loadOlder(token, generation) {
    if (!token) return;
    const urgent = { reviews: "unverified", max_priority: PINNED_PRIORITY, limit: PAGE };
    try {
      await this.#pages(urgent, "", MOST, generation);
      await this.#pages({ limit: PAGE }, token, ENOUGH, generation);
    } catch {
      if (this.#stop.signal.aborted || generation !== this.#generation) return;
      setTimeout(() => this.#loadOlder(token, generation), RETRY_MS[1]);
    }
  }

  async #pages(query, token, most, generation) {
    let next = token;
    do {
      const page = await this.#page({ ...query, page_token: next });
      if (this.#stop.signal.aborted || generation !== this.#generation) return;
      if (page.feed.feed_id !== this.#position.feedId) return; // the feed will tell
      this.#takePage(page);
      this.#tell();
      next = page.next_page_token;
    } while (next && this.alerts.size < most);
  }

  #page(query) {
    return this.#api.get("/api/alerts", query, { signal: this.#stop.signal, quiet: true });
  }

  #takePage(page) {
    for (const alert of page.alerts) {
      if ((this.#told.get(alert.id) ?? -1) <= page.feed.sequence) this.alerts.set(alert.id, alert);
      const at = Date.parse(alert.received_at);
      if (at > (this.link.lastEventAt ?? 0)) this.link.lastEventAt = at;
    }
  }

  async #follow(onOpen) {
    const { feedId, sequence } = this.#position;
    let open = false;
    await follow("/api/feed", {
      lastEventId: `${feedId}:${sequence}`,
      answer_ms: ANSWER_MS,
      silence_ms: SILENCE_MS,
      signal: this.#stop.signal,
      onHeard: () => {
        this.link.lastHeardAt = Date.now();
        if (!open) onOpen();
        open = true;
      },
      onEvent: (event) => this.#event(event),
    });
  }

  #event({ type, id, data }) {
    if (type === "reset") {
      this.#before = new Set(this.alerts.keys());
      this.alerts.clear();
      this.checkpoints.clear();
      this.#told.clear();
      this.#position = null;
      this.#generation += 1;
      this.loaded = false;
      this.link.replaced = true;
      throw new Error("the feed was replaced"); // ends this stream; #run loads anew
    }
    const body = JSON.parse(data);
    if (type === "logout") {
      this.#stop.abort();
      this.#api.onSignedOut();
      return;
    }
    this.#state(type === "state" ? body : { live: true });
    const [feedId, sequence] = position(id);
    if (feedId !== null) {
      const known = feedId === this.#position.feedId && sequence <= this.#position.sequence;
      if (known) {
        this.#tell();
        return;
      }
      this.#position = { feedId, sequence };
    }
    if (type !== "state") this.link.lastEventAt = Date.now();
    if (type === "checkpoint") this.checkpoints.set(body.checkpoint, body);
    else if (type === "alert" || type === "review" || type === "escalation") {
      const before = this.alerts.get(body.id) ?? null;
      this.alerts.set(body.id, body);
      this.#told.set(body.id, sequence ?? 0);
      for (const listener of this.#newListeners) listener(body, before, type);
      if (this.alerts.size > MOST) this.#forget();
    }
    this.#tell();
  }

  /** The server follows the alert service, or has lost it. */
  #state({ live, problem = null }) {
    const { link } = this;
    link.problem = problem;
    if (live) {
      link.status = "live";
      link.lostAt = null;
    } else {
      link.lostAt ??= Date.now();
      link.status = "lost";
    }
  }

  /** Let the oldest go that nobody has to decide any more. */
  #forget() {
    const old = [...this.alerts.values()]
      .filter((alert) => !isPinned(alert))
      .sort((one, other) => newestFirst(other, one));
    for (const alert of old.slice(0, Math.ceil(MOST / 10))) {
      this.alerts.delete(alert.id);
      this.#told.delete(alert.id);
    }
  }

  #tell() {
    this.version += 1;
    this.#telling ??= setTimeout(() => {
      this.#telling = null;
      for (const listener of this.#listeners) listener();
    }, TELL_MS);
  }
}

/** "feed:12" as ["feed", 12]; [null, null] where there is no such id. */
function position(id) {
  const colon = id?.lastIndexOf(":") ?? -1;
  const sequence = colon < 0 ? NaN : Number(id.slice(colon + 1));
  return Number.isInteger(sequence) ? [id.slice(0, colon), sequence] : [null, null];
}
