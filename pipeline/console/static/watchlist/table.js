// The entries as a table.

import { html } from "/static/vendor/htm-preact.js";
import { day, plain } from "/static/format.js";
import { Plate } from "/static/plate.js";
import { Category, State } from "/static/watchlist/words.js";

const COLUMNS = ["plate", "category", "disposition", "case_number", "expires_at", "state"];

export function Table({ t, me, may, busy, entries, more, onOpen, onMore }) {
  if (entries.length === 0) return html`<p class="empty">${t(busy ? "shell.loading" : "watchlist.none")}</p>`;
  return html`<div class="card">
    <div class="table-scroll" tabindex="0" role="region" aria-label=${t("watchlist.table")}>
      <table class="table" aria-busy=${String(busy)}>
        <thead>
          <tr>
            ${COLUMNS.map((name) => html`<th scope="col" key=${name}>${t(`watchlist.field.${name}`)}</th>`)}
            <th scope="col"><span class="visually-hidden">${t("watchlist.actions")}</span></th>
          </tr>
        </thead>
        <tbody>
          ${entries.map((entry) => html`<${Row} key=${entry.id} ...${{ entry, t, me, may, onOpen }} />`)}
        </tbody>
      </table>
    </div>
    ${more &&
    html`<p class="row">
      <button class="button" disabled=${busy} onClick=${onMore}>${t("action.more")}</button>
    </p>`}
  </div>`;
}

function Row({ entry, t, me, may, onOpen }) {
  const waits = entry.status === "draft" && may("approver") && entry.drafted.by !== me.person;
  const press = (event) => {
    const marking = getSelection()?.toString(); // a plate that is being copied opens nothing
    if (!marking && !event.target.closest("button")) onOpen(entry.id);
  };
  return html`<tr data-entry=${entry.id} data-status=${entry.status} onClick=${press}>
    <th scope="row">
      <${Plate} t=${t} size="small" text=${entry.plate} plateClass=${entry.plate_class} />
    </th>
    <td><${Category} entry=${entry} t=${t} /></td>
    <td class="wrap-anywhere">${plain(entry.disposition)}</td>
    <td class="wrap-anywhere">${plain(entry.case_number)}</td>
    <td class="nowrap">${day(new Date(entry.expires_at).getTime() - 1)}</td>
    <td>
      <${State} state=${entry.status} t=${t} />
      ${entry.drafted && html`<div class="muted">${plain(entry.drafted.by)}</div>`}
      ${entry.cancelled && html`<div class="muted">${plain(entry.cancelled.by)}</div>`}
    </td>
    <td>
      <button
        class=${`button button--small ${waits ? "button--primary" : ""}`}
        aria-label=${t(waits ? "watchlist.decide_on" : "watchlist.open_entry", { plate: entry.plate })}
        onClick=${() => onOpen(entry.id)}
      >
        ${t(waits ? "watchlist.decide" : "watchlist.open")}
      </button>
    </td>
  </tr>`;
}
