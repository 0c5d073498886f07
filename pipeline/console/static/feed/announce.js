// New alerts for the ear: a sound, and a sentence for screen readers. Several at once are one.

import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { summary } from "/static/feed/alert.js";
import { PINNED_PRIORITY } from "/static/feed/feed.js";

const TOGETHER_MS = 250;
const STILL_WAITING_MS = 60_000;

/** `said`: what else is to be said, politely. */
export function Announcer({ feed, t, said }) {
  const [words, setWords] = useState({ urgent: "", polite: "" });
  const language = useRef(t);
  language.current = t;
  useEffect(
    () =>
      together(feed, (arrived) => {
        const urgent = arrived.filter((alert) => alert.priority <= PINNED_PRIORITY);
        const sentence = (alerts) => {
          const t = language.current;
          if (alerts.length === 0) return "";
          if (alerts.length > 2) return t("feed.announce.many", { n: alerts.length });
          return alerts.map((alert) => t("feed.announce.one", { words: summary(alert, t) })).join(" ");
        };
        const others = arrived.filter((alert) => alert.priority > PINNED_PRIORITY);
        setWords({ urgent: sentence(urgent), polite: sentence(others) });
      }),
    [feed],
  );
  return html`<div class="visually-hidden">
    <p role="alert" aria-live="assertive" data-announce="urgent">${words.urgent}</p>
    <p role="status" aria-live="polite" data-announce="polite">${words.polite}</p>
    <p role="status" aria-live="polite" data-announce="said">${said}</p>
  </div>`;
}

/** Call `tell([alert])` for new alerts, those that come within a moment together. */
export function together(feed, tell) {
  let waiting = [];
  let timer = null;
  const stop = feed.onNew((alert, before, type) => {
    if (type !== "alert" || alert.retracted || (before !== null && before.kind === alert.kind)) return;
    waiting.push(alert);
    timer ??= setTimeout(() => {
      timer = null;
      const arrived = waiting;
      waiting = [];
      tell(arrived);
    }, TOGETHER_MS);
  });
  return () => {
    stop();
    clearTimeout(timer);
  };
}

/**
 * Sounds on every page: of the most urgent alert that has come; again each minute while one of
 * priority 1 waits for a decision; and once when the connection is lost. Returns how to stop.
 */
export function ring(feed, sound) {
  let lost = false;
  const stops = [
    together(feed, (arrived) => sound.play(Math.min(...arrived.map((alert) => alert.priority)))),
    feed.listen(() => {
      const now = feed.link.status === "lost";
      if (now && !lost) sound.play("lost");
      lost = now;
    }),
  ];
  const timer = setInterval(() => {
    if (feed.undecided().some((alert) => alert.priority === 1)) sound.play(2);
  }, STILL_WAITING_MS);
  return () => {
    clearInterval(timer);
    for (const stop of stops) stop();
  };
}
