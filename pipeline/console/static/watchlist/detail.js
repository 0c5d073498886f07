// One entry or draft: what it says, what became of it, and what may be done about it.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import { dateTime, plain } from "/static/format.js";
import { useModal } from "/static/hooks.js";
import { Plate } from "/static/plate.js";
import { Category, Field, State, Why, said } from "/static/watchlist/words.js";

const FACTS = [
  "disposition", "reason", "case_number", "authoriser", "requester", "valid_from", "expires_at",
  "plate_class", "vehicle_class", "vehicle_colour", "audience", "source", "id",
];
const GROUPS = { plate_class: "plate_class", vehicle_class: "vehicle_class", vehicle_colour: "colour" };

/** A field's value in words. */
function worded(name, value, t) {
  if (value === null || value === undefined || value.length === 0) return "–";
  if (name === "valid_from" || name === "expires_at") return dateTime(value);
  if (name in GROUPS) return t.name(GROUPS[name], value);
  if (name === "category" || name === "priority") return plain(t.name(name, value));
  return plain(Array.isArray(value) ? value.join("；") : value);
}

export function Detail({ api, me, t, may, id, onClose, onDone }) {
  const dialog = useModal(true, onClose);
  const [told, setTold] = useState(null);
  const [problem, setProblem] = useState(null);

  useEffect(() => {
    const stop = new AbortController();
    api.get(`/api/watchlist/entries/${id}`, {}, { signal: stop.signal }).then(setTold, (error) => {
      if (error.name !== "AbortError") setProblem(error);
    });
    return () => stop.abort();
  }, [id]);

  const entry = told?.entry;
  return html`<dialog class="dialog dialog--wide" ref=${dialog} aria-labelledby="watchlist-title">
    <h2 id="watchlist-title">${t("watchlist.entry")} ${entry && plain(entry.plate)}</h2>
    ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${!told && !problem && html`<p class="empty" role="status">${t("shell.loading")}</p>`}
    ${told &&
    html`<div class="watchlist__sides">
        <div class="stack">
          <div class="row">
            <${Plate} t=${t} size="large" text=${entry.plate} plateClass=${entry.plate_class} />
            <${State} state=${entry.status} t=${t} />
          </div>
          <${Category} entry=${entry} t=${t} />
          ${told.neighbours.length > 0 &&
          html`<p class="warning">${t("watchlist.alike", { plates: told.neighbours.join("、") })}</p>`}
          <${Actions} ...${{ api, me, t, may, entry, onDone }} />
        </div>
        <dl class="facts">
          ${FACTS.map((name) => html`<dt key=${`${name}-t`}>${t(`watchlist.field.${name}`)}</dt>
            <dd key=${name}>${worded(name, entry[name], t)}</dd>`)}
        </dl>
      </div>
      <${History} ...${{ t, told }} />`}
    <div class="dialog__actions">
      <button class="button" onClick=${() => dialog.current.close()}>${t("action.close")}</button>
    </div>
  </dialog>`;
}

/** What this person may do about the entry; each with its reason. */
function Actions({ api, me, t, may, entry, onDone }) {
  const [why, setWhy] = useState({ reason: "", case: entry.case_number });
  const [authoriser, setAuthoriser] = useState("");
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const draft = entry.status === "draft";
  const byToken = me.by === "token" || me.by === "certificate";
  const own = draft && byToken && entry.drafted.by === me.person;

  async function act(action, body, words) {
    setBusy(true);
    setProblem(null);
    try {
      await api.post(`/api/watchlist/${entry.id}/${action}`, body);
      onDone(t(words, { plate: entry.plate }));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  }
  const cancel = (event) => {
    event.preventDefault();
    if (draft) act("discard", why, "watchlist.discarded");
    else act("cancel", why, "watchlist.cancelled");
  };
  const approve = (event) => {
    event.preventDefault();
    act("approve", { authoriser }, "watchlist.approved");
  };
  const ends = ["active", "pending", "expired", "draft"].includes(entry.status) && may("editor", "approver");
  return html`<div class="stack">
    ${entry.cancelled &&
    html`<p class="notice">
      ${t("watchlist.cancelled_by", { by: plain(entry.cancelled.by), at: dateTime(entry.cancelled.at) })}
      ${" "}${plain(entry.cancelled.reason)}
    </p>`}
    ${draft &&
    html`<p class="notice">
      ${t("watchlist.drafted_by", { by: plain(entry.drafted.by), at: dateTime(entry.drafted.at) })}
      ${own && html` ${t("watchlist.own_draft")}`}
    </p>`}
    ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${draft && may("approver") && !own &&
    html`<form class="card stack" onSubmit=${approve}>
      <p>${t("watchlist.approve.hint")}</p>
      ${!byToken &&
      html`<${Field} id="approve-authoriser" label=${t("watchlist.field.authoriser")} required=${true} t=${t}>
        ${(attributes) => html`<input
          ...${attributes}
          value=${authoriser}
          maxlength="64"
          autocomplete="off"
          onInput=${(event) => setAuthoriser(event.target.value)}
        />`}
      <//>`}
      <button class="button button--ok" disabled=${busy}>${t("watchlist.approve")}</button>
    </form>`}
    ${ends &&
    html`<details class="card">
      <summary>${t(draft ? "watchlist.discard" : "watchlist.cancel")}</summary>
      <form class="stack" onSubmit=${cancel}>
        <${Why} id="cancel" ...${{ why, setWhy, t }} hint=${t("watchlist.why.hint")} />
        <button class="button button--danger" disabled=${busy || !why.reason.trim()}>
          ${t(draft ? "watchlist.discard" : "watchlist.cancel")}
        </button>
      </form>
    </details>`}
  </div>`;
}

function History({ t, told }) {
  if (told.entry.status === "draft") return null;
  return html`<section class="stack">
    <h3>${t("watchlist.history")}</h3>
    ${told.history.length > 0 &&
    html`<div class="table-scroll" tabindex="0" role="region" aria-label=${t("watchlist.history")}>
      <table class="table">
        <thead>
          <tr>
            ${["version", "at", "by", "what", "fields", "why"].map(
              (name) => html`<th scope="col" key=${name}>${t(`watchlist.history.${name}`)}</th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${told.history.map(
            (change) => html`<tr key=${change.version}>
              <th scope="row">${change.version}</th>
              <td class="nowrap">${dateTime(change.at)}</td>
              <td>${plain(change.by ?? "–")}</td>
              <td>${t(`watchlist.kind.${change.kind}`)} (${t.name("watchlist.action", change.action)})</td>
              <td>
                ${Object.entries(change.fields).map(
                  ([name, { before, after }]) => html`<div key=${name}>
                    ${t(`watchlist.field.${name}`)}: <del>${worded(name, before, t)}</del> → <ins>${worded(name, after, t)}</ins>
                  </div>`,
                )}
              </td>
              <td class="wrap-anywhere">${plain([change.reason, change.case].filter(Boolean).join(" · ")) || "–"}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`}
    ${!told.complete && html`<p class="muted">${t("watchlist.history.incomplete")}</p>`}
  </section>`;
}
