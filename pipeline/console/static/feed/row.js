// One alert as a row of the feed.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import {
  KIND_SHAPES,
  OLD_LIST_S,
  category,
  decidedBy,
  dotted,
  isPattern,
  lateBy,
  listAge,
  mismatches,
  pictureUrl,
  place,
  plateUrl,
  restsOn,
  summary,
  vehicle,
} from "/static/feed/alert.js";
import { duration, percent, plain, since, when } from "/static/format.js";
import { Plate } from "/static/plate.js";

const SETTLED_MS = 80; // rows that are scrolled past ask for no picture
const TRIES = 3;
const AGAIN_MS = 1_500;

/** Kind of match: shape, word and ground, each of them different. */
export function Kind({ alert, t }) {
  return html`<span class="kind kind--${alert.kind}">
    <span aria-hidden="true">${KIND_SHAPES[alert.kind]}</span>
    ${t.name("kind", alert.kind)} <span class="kind__percent">${percent(alert.probability)}</span>
  </span>`;
}

export function Priority({ alert, t }) {
  const { priority } = alert;
  return html`<span class="priority priority--${priority}">
    <b>${priority}</b> <span>${t.name("priority", priority)}</span>
  </span>`;
}

/** Late, escalated, retracted, decided: what became of it. */
export function States({ alert, t }) {
  const { review, escalated, late, retracted } = alert;
  return html`${retracted && html`<span class="badge badge--retracted">↺ ${t("feed.retracted")}</span>`}
  ${late && html`<span class="badge badge--late" title=${lateBy(alert, t)}>◎ ${t("feed.late")}</span>`}
  ${escalated && html`<span class="badge badge--warn">⇧ ${t("feed.escalated")}</span>`}
  ${review.state === "unverified"
    ? html`<span class="badge badge--unverified">? ${t("review.unverified")}</span>`
    : review.state === "confirmed"
      ? html`<span class="badge badge--ok">✓ ${t("review.confirmed")}</span>`
      : html`<span class="badge badge--quiet">✕ ${t("review.rejected")}</span>`}`;
}

/** A picture that is asked for once its row has stayed in view; a word where there is none. */
export function Picture({ url, alt, missing, ...attributes }) {
  const [state, setState] = useState({ url: null, tries: 0 }); // which is asked for, and how often
  const mine = state.url === url ? state : { url: null, tries: 0 };
  const failed = url === null || mine.tries >= TRIES;
  useEffect(() => {
    if (failed) return undefined;
    const wait = mine.tries === 0 ? SETTLED_MS : AGAIN_MS * mine.tries;
    const timer = setTimeout(() => setState({ url, tries: mine.tries, asked: true }), wait);
    return () => clearTimeout(timer);
  }, [url, mine.tries]);
  if (failed) return html`<span ...${attributes} class="${attributes.class} picture--none">${missing}</span>`;
  return html`<span ...${attributes}>
    ${mine.asked &&
    html`<img
      key=${mine.tries}
      src=${url}
      alt=${alt}
      decoding="async"
      onError=${() => setState({ url, tries: mine.tries + 1 })}
    />`}
  </span>`;
}

export function AlertRow({ alert, t, now, selected, place: number, count, style }) {
  const wanted = alert.entry.plate;
  const differs = mismatches(alert, t);
  const rests = restsOn(alert, t);
  const decided = decidedBy(alert, t);
  const hasPicture = alert.has_picture;
  return html`<div
    id=${`alert-${alert.id}`}
    role="option"
    aria-selected=${String(selected)}
    aria-setsize=${count}
    aria-posinset=${number + 1}
    class="alert alert--${alert.kind} alert--p${alert.priority} ${alert.review.state === "unverified" && !alert.retracted ? "" : "alert--done"}"
    data-id=${alert.id}
    data-state=${alert.review.state}
    style=${style}
  >
    <span class="visually-hidden">${summary(alert, t)}</span>
    <div class="alert__side" aria-hidden="true"><b>${alert.priority}</b></div>
    <${Picture}
      class="alert__picture picture"
      aria-hidden="true"
      url=${hasPicture ? pictureUrl(alert) : null}
      alt=""
      missing=${t("feed.no_picture")}
    />
    <div class="alert__plates" aria-hidden="true">
      <${Picture}
        class="alert__crop picture"
        url=${hasPicture ? plateUrl(alert) : null}
        alt=""
        missing=${t("feed.no_crop")}
      />
      <${Plate}
        t=${t}
        text=${alert.plate}
        plateClass=${alert.plate_class}
        probabilities=${alert.char_probabilities}
      />
    </div>
    <div class="alert__words" aria-hidden="true">
      <div class="alert__line">
        <${Kind} alert=${alert} t=${t} />
        <span class="alert__time">
          <time datetime=${alert.occurred_at}>${when(alert.occurred_at, now)}</time>
          <span class="muted">${t("feed.ago", { ago: duration(since(alert.occurred_at, now), t) })}</span>
        </span>
      </div>
      <div class="alert__line alert__disposition">
        <strong>${category(alert, t)}</strong> ${plain(alert.disposition)}
      </div>
      <div class="alert__line">
        ${differs.map((words) => html`<span class="mismatch" key=${words}>✗ ${words}</span>`)}
        ${wanted !== alert.plate &&
        html`<span class="wanted">
          ${isPattern(wanted) ? "≈" : "≠"} ${t("feed.wanted")} <b>${dotted(plain(wanted))}</b>
        </span>`}
        ${rests && html`<span class="muted">${rests}</span>`}
        ${differs.length === 0 && wanted === alert.plate && html`<span class="muted">${vehicle(alert, t)}</span>`}
      </div>
      <div class="alert__line alert__last">
        <${States} alert=${alert} t=${t} />
        ${decided && html`<span class="muted alert__cut">${decided}</span>`}
        <span class="muted alert__cut">${place(alert, t)}</span>
        <span class=${alert.list_age_s > OLD_LIST_S ? "old-list" : "muted"}>${listAge(alert, t)}</span>
      </div>
    </div>
  </div>`;
}
