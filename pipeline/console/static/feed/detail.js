// One alert whole: the picture beside the entry, what was read, what happened, and the decision.

import { html, useEffect, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import {
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
  vehicle,
} from "/static/feed/alert.js";
import { DecisionForm } from "/static/feed/decide.js";
import { Kind, Picture, Priority, States } from "/static/feed/row.js";
import { useSeen } from "/static/feed/seen.js";
import { dateTime, duration, percent, plain, since } from "/static/format.js";
import { Plate, PlateFigures } from "/static/plate.js";

/** `deciding`: null, "confirmed", "rejected" or "escalated"; `seen`: told by `onSeen`. */
export function Detail(props) {
  const { api, t, alert, now, mayDecide, deciding, setDeciding, onDecide, onSeen, onClose } = props;
  const more = useDetails(api, alert);
  const { seen, refs, pictureReady } = useSeen(`${alert.id}/${alert.revision}`);
  const both = seen.picture && seen.entry;
  const heading = useRef(null);
  useLayoutEffect(() => onSeen(both), [both, alert.id, alert.revision]);

  const open = alert.review.state === "unverified";
  const decided = decidedBy(alert, t);
  return html`<article class="detail" aria-label=${t("feed.detail")} data-id=${alert.id}>
    <header class="detail__head">
      <button class="button button--small detail__back" onClick=${onClose}>
        ← ${t("action.back")}
      </button>
      <h2 tabindex="-1" ref=${heading} id="detail-title">
        <${Kind} alert=${alert} t=${t} /> ${category(alert, t)}
      </h2>
      <${Priority} alert=${alert} t=${t} />
      <${States} alert=${alert} t=${t} />
    </header>
    ${alert.retracted && html`<p class="warning" role="status">${t("feed.retracted.why")}</p>`}
    ${alert.late && html`<p class="notice">${t("feed.late")}：${lateBy(alert, t)}</p>`}
    ${mismatches(alert, t).map(
      (words) => html`<p class="mismatch mismatch--loud" key=${words}>✗ ${words}</p>`,
    )}
    <div class="detail__sides">
      <section class="detail__side" ref=${refs.picture} aria-label=${t("feed.side.picture")}>
        <h3>${t("feed.side.picture")} <${Seen} yes=${seen.picture} t=${t} /></h3>
        <${Evidence} alert=${alert} t=${t} onReady=${pictureReady} />
        <${Read} alert=${alert} t=${t} />
      </section>
      <section class="detail__side" ref=${refs.entry} aria-label=${t("feed.side.entry")}>
        <h3>${t("feed.side.entry")} <${Seen} yes=${seen.entry} t=${t} /></h3>
        <${Entry} alert=${alert} readings=${more.data?.alternatives} t=${t} />
      </section>
    </div>
    <div class="detail__decision">
      ${decided &&
      html`<p class="success" role="status">
        <b>${decided}</b> ${[alert.review.outcome, alert.review.note].filter(Boolean).map(plain).join(" · ")}
      </p>`}
      ${!mayDecide
        ? html`<p class="muted">${t("feed.may_not")}</p>`
        : deciding
          ? html`<${DecisionForm}
              key=${deciding}
              t=${t}
              decision=${deciding}
              onDecide=${onDecide}
              onCancel=${() => setDeciding(null)}
            />`
          : open &&
            html`<div class="row">
                <button
                  class="button button--ok"
                  disabled=${!both}
                  aria-describedby="confirm-why"
                  onClick=${() => setDeciding("confirmed")}
                >
                  ✓ ${t("feed.do.confirmed")} <kbd aria-hidden="true">C</kbd>
                </button>
                <button class="button button--danger" onClick=${() => setDeciding("rejected")}>
                  ✕ ${t("feed.do.rejected")} <kbd aria-hidden="true">R</kbd>
                </button>
                <button
                  class="button"
                  disabled=${alert.escalated !== null}
                  onClick=${() => setDeciding("escalated")}
                >
                  ⇧ ${t("feed.do.escalated")} <kbd aria-hidden="true">E</kbd>
                </button>
              </div>
              <p id="confirm-why" class="muted">${both ? "" : t("feed.look_first")}</p>`}
    </div>
    <${History} alert=${alert} history=${more.data?.history} t=${t} />
    <dl class="facts detail__facts">
      <dt>${t("feed.fact.place")}</dt>
      <dd>${plain(alert.checkpoint)} · ${place(alert, t)}</dd>
      <dt>${t("feed.fact.passed")}</dt>
      <dd>
        ${dateTime(alert.passed_at)}
        <span class="muted"> ${t("feed.ago", { ago: duration(since(alert.passed_at, now), t) })}</span>
      </dd>
      <dt>${t("feed.fact.list")}</dt>
      <dd class=${alert.list_age_s > OLD_LIST_S ? "old-list" : ""}>
        ${t("feed.list_version", { n: alert.list_version })} · ${listAge(alert, t)}
      </dd>
      <dt>${t("feed.fact.id")}</dt>
      <dd class="mono">${plain(alert.id)}</dd>
      ${more.data?.evidence &&
      html`<dt>SHA-256</dt>
        <dd class="mono">${more.data.evidence.sha256}</dd>`}
    </dl>
    ${more.error && html`<p class="error" role="alert">${t("feed.no_details")}</p>`}
  </article>`;
}

/** History and other readings of an alert, asked for again whenever it changes. */
function useDetails(api, alert) {
  const [state, setState] = useState({ id: null, data: null, error: null });
  const stamp = [alert.id, alert.revision, alert.review.state, alert.review.at, alert.review.outcome, alert.escalated?.at].join("/");
  useEffect(() => {
    const stop = new AbortController();
    api.get(`/api/alerts/${encodeURIComponent(alert.id)}`, {}, { signal: stop.signal }).then(
      (data) => setState({ id: alert.id, data, error: null }),
      (error) => !stop.signal.aborted && setState({ id: alert.id, data: null, error }),
    );
    return () => stop.abort();
  }, [stamp]);
  return state.id === alert.id ? state : { data: null, error: null };
}

const Seen = ({ yes, t }) =>
  html`<span class="seen ${yes ? "seen--yes" : ""}">${yes ? `✓ ${t("feed.seen")}` : `○ ${t("feed.unseen")}`}</span>`;

/** The whole picture and the plate enlarged. Only a picture that does not exist is called none. */
function Evidence({ alert, t, onReady }) {
  const key = `${alert.id}/${alert.revision}`;
  const [state, setState] = useState({ key: null, url: null, failed: null });
  const [tries, setTries] = useState(0);
  const [drawn, setDrawn] = useState(null); // the key whose picture stands on the screen
  const now = state.key === key ? state : { url: null, failed: null };
  const none = !alert.has_picture || now.failed === 404;

  useEffect(() => {
    if (!alert.has_picture) return undefined;
    const stop = new AbortController();
    let url = null;
    load(pictureUrl(alert), stop.signal).then(
      (blob) => {
        url = URL.createObjectURL(blob);
        setState({ key, url, failed: null });
      },
      (error) => !stop.signal.aborted && setState({ key, url: null, failed: error.status ?? 0 }),
    );
    return () => {
      stop.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [key, alert.has_picture, tries]);
  useLayoutEffect(() => {
    if (none || drawn === key) onReady();
  }, [none, drawn, key, onReady]);

  if (none) return html`<p class="detail__none">${t("feed.no_picture")}</p>`;
  if (now.failed !== null) {
    return html`<div class="detail__none" role="alert">
      <p>${t("feed.picture_failed")}</p>
      <button class="button" onClick=${() => setTries(tries + 1)}>${t("shell.retry")}</button>
    </div>`;
  }
  return html`<div class="detail__pictures">
    ${now.url === null
      ? html`<p class="detail__none" role="status">${t("shell.loading")}</p>`
      : html`<img
          key=${key}
          class="detail__picture"
          src=${now.url}
          alt=${t("feed.picture_of", { vehicle: vehicle(alert, t), camera: plain(alert.camera) })}
          onLoad=${(event) => event.target.naturalWidth > 0 && setDrawn(key)}
          onError=${() => setState({ key, url: null, failed: 0 })}
        />`}
    <${Picture}
      class="detail__crop picture"
      url=${plateUrl(alert)}
      alt=${t("feed.crop_of")}
      missing=${t("feed.no_crop")}
    />
  </div>`;
}

async function load(url, signal) {
  const answer = await fetch(url, { signal, credentials: "same-origin" });
  if (!answer.ok) throw Object.assign(new Error(answer.statusText), { status: answer.status });
  return answer.blob();
}

function Read({ alert, t }) {
  const wanted = alert.entry.plate;
  return html`<div class="stack">
    <div class="row">
      <${Plate}
        t=${t}
        size="large"
        text=${alert.plate}
        plateClass=${alert.plate_class}
        probabilities=${alert.char_probabilities}
        compare=${isPattern(wanted) ? undefined : wanted}
      />
    </div>
    <${PlateFigures} t=${t} text=${alert.plate} probabilities=${alert.char_probabilities} />
    <dl class="facts">
      <dt>${t("feed.fact.read")}</dt>
      <dd>${t("feed.read_of", { percent: percent(alert.plate_probability), reads: alert.reads })}</dd>
      <dt>${t("attribute.plate_class")}</dt>
      <dd class=${differs(alert, "plate_class")}>${t.name("plate_class", alert.plate_class)}</dd>
      <dt>${t("attribute.vehicle_class")}</dt>
      <dd class=${differs(alert, "vehicle_class")}>${t.name("vehicle_class", alert.vehicle.class)}</dd>
      <dt>${t("attribute.vehicle_colour")}</dt>
      <dd class=${differs(alert, "vehicle_colour")}>${t.name("colour", alert.vehicle.colour)}</dd>
    </dl>
  </div>`;
}

const differs = (alert, name) => (alert.mismatches.includes(name) ? "differs" : "");

function Entry({ alert, readings, t }) {
  const { entry } = alert;
  const rests = restsOn(alert, t);
  return html`<div class="stack">
    <div class="row">
      <${Plate} t=${t} size="large" text=${entry.plate} plateClass=${entry.plate_class ?? alert.plate_class} />
    </div>
    ${rests && html`<p class="rests">${rests}</p>`}
    ${alert.kind !== "exact" && html`<${Alternatives} alert=${alert} readings=${readings} t=${t} />`}
    <p class="disposition"><span class="muted">${t("feed.fact.disposition")}</span> ${plain(entry.disposition)}</p>
    <dl class="facts">
      <dt>${t("feed.fact.category")}</dt>
      <dd>${category(alert, t)}</dd>
      <dt>${t("feed.fact.reason")}</dt>
      <dd>${plain(entry.reason)}</dd>
      <dt>${t("feed.fact.case")}</dt>
      <dd>${plain(entry.case_number)}</dd>
      <dt>${t("attribute.plate_class")}</dt>
      <dd class=${differs(alert, "plate_class")}>${t.name("plate_class", entry.plate_class)}</dd>
      <dt>${t("attribute.vehicle_class")}</dt>
      <dd class=${differs(alert, "vehicle_class")}>${t.name("vehicle_class", entry.vehicle_class)}</dd>
      <dt>${t("attribute.vehicle_colour")}</dt>
      <dd class=${differs(alert, "vehicle_colour")}>${t.name("colour", entry.vehicle_colour)}</dd>
      <dt>${t("feed.fact.authoriser")}</dt>
      <dd>${plain(entry.authoriser)}</dd>
      <dt>${t("feed.fact.expires")}</dt>
      <dd>${dateTime(entry.expires_at)}</dd>
      ${entry.source && html`<dt>${t("feed.fact.source")}</dt><dd>${plain(entry.source)}</dd>`}
    </dl>
  </div>`;
}

/** The readings that the plate may have, with the entry's marked. */
function Alternatives({ alert, readings, t }) {
  if (!readings?.length) return null;
  const met = alert.kind === "partial" ? alert.reading : alert.entry.plate;
  return html`<section class="readings" aria-label=${t("feed.readings")}>
    <h4>${t("feed.readings")}</h4>
    <ol>
      ${readings.map(
        ({ plate, probability }) => html`<li key=${plate} class=${plate === met ? "readings--met" : ""}>
          <span class="readings__plate">${dotted(plate)}</span>
          <span class="readings__bar" aria-hidden="true">
            <span style=${{ width: `${Math.max(0.5, 100 * probability)}%` }}></span>
          </span>
          <span class="readings__percent">${percent(probability)}</span>
          ${plate === met && html`<span class="readings__met">↑ ${t("feed.reading_met")}</span>`}
        </li>`,
      )}
    </ol>
  </section>`;
}

function History({ alert, history, t }) {
  if (!history?.length) return null;
  return html`<section aria-label=${t("feed.history")}>
    <h3>${t("feed.history")}</h3>
    <table class="table detail__history">
      <thead class="visually-hidden">
        <tr>
          <th scope="col">${t("feed.history.when")}</th>
          <th scope="col">${t("feed.history.what")}</th>
        </tr>
      </thead>
      <tbody>
        ${history.map(
          (event, number) => html`<tr key=${number}>
            <td class="nowrap">${dateTime(event.at)}</td>
            <td class="wrap-anywhere">${happened(event, t)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function happened(event, t) {
  const said = [event.outcome, event.note].filter(Boolean).map(plain).join(" · ");
  const person = plain(event.person ?? "–") + (event.named_by === "request" ? t("feed.unchecked") : "");
  if (event.kind === "hit") {
    return t(event.retracted ? "feed.happened.retracted" : "feed.happened.hit", {
      plate: event.plate ?? t("plate.unread"),
      kind: t.name("kind", event.match),
      percent: percent(event.probability),
    });
  }
  if (event.kind === "escalation") {
    const by = event.person === "checkpoint" ? t("feed.by_itself") : person;
    return `${t("feed.happened.escalation", { person: by })} ${said}`;
  }
  if (event.decision === "unverified") return t("feed.happened.withdrawn", { person });
  return `${t("feed.happened.review", { person, decision: t.name("review", event.decision) })} ${said}`;
}
