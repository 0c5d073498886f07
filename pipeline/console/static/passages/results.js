// What was found, the latest first.

import { html, useEffect, useRef } from "/static/vendor/htm-preact.js";
import { dateTime, percent, plain } from "/static/format.js";
import { Plate } from "/static/plate.js";

export function Results({ t, found, busy, onOpen, onMore }) {
  const heading = useRef(null);
  const { rows, total, masked, next } = found;
  useEffect(() => heading.current?.focus(), [found.wanted]);

  // Arrows move between the rows' buttons, so that a list is walked without the mouse.
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...event.currentTarget.querySelectorAll("[data-open]")];
    const place = buttons.indexOf(document.activeElement);
    const target = buttons[place < 0 ? 0 : place + step];
    if (target) {
      event.preventDefault();
      target.focus();
      target.scrollIntoView({ block: "nearest" });
    }
  };

  return html`<section class="card" aria-labelledby="passages-found" onKeyDown=${move}>
    <div class="toolbar toolbar--middle">
      <h2 id="passages-found" tabindex="-1" ref=${heading} role="status">
        ${t(total === 1 ? "passages.found.one" : "passages.found", { n: total, shown: rows.length })}
      </h2>
      ${rows.length > 0 &&
      html`<span class=${`badge ${masked ? "badge--quiet" : "badge--warn"}`}>
        ${t(masked ? "passages.masked" : "passages.shown")}
      </span>`}
    </div>
    ${rows.length === 0
      ? html`<p class="empty">${t("passages.nothing")}</p>`
      : html`<div class="table-scroll">
            <table class="table passages__table">
              <thead>
                <tr>
                  ${["time", "plate", "camera", "vehicle", "sure", "hit", "look"].map(
                    (name) => html`<th scope="col" class=${name === "sure" ? "number" : undefined} key=${name}>${t(`passages.column.${name}`)}</th>`,
                  )}
                </tr>
              </thead>
              <tbody>
                ${rows.map((row) => html`<${Row} key=${row.id} ...${{ t, row, onOpen }} />`)}
              </tbody>
            </table>
          </div>
          ${next &&
          html`<div class="dialog__actions">
            <button class="button" disabled=${busy !== null} onClick=${onMore}>
              ${t(busy === "more" ? "shell.loading" : "action.more")}
            </button>
          </div>`}`}
  </section>`;
}

function Row({ t, row, onOpen }) {
  const vehicle = [row.vehicle_colour && t.name("colour", row.vehicle_colour), row.vehicle_class &&
    t.name("vehicle_class", row.vehicle_class)].filter(Boolean);
  return html`<tr data-id=${row.id}>
    <td class="nowrap"><time datetime=${row.ended_at}>${dateTime(row.ended_at)}</time></td>
    <td>
      <${Plate} t=${t} text=${row.plate} plateClass=${row.plate_class} size="small"
        probabilities=${row.masked ? null : row.char_probabilities} />
    </td>
    <td class="wrap-anywhere">${plain(row.camera)}${row.lane && html` <span class="muted">${plain(row.lane)}</span>`}</td>
    <td>${vehicle.join(" ") || "–"}</td>
    <td class="number">${percent(row.probability)}</td>
    <td>${row.has_hit
      ? html`<span class="badge badge--danger">${t("passages.hit")}</span>`
      : html`<span class="muted">${t("passages.no_hit")}</span>`}</td>
    <td>
      <button class="button button--small" data-open onClick=${() => onOpen(row)}
        aria-label=${t("passages.look.label", { time: dateTime(row.ended_at), camera: row.camera })}>
        ${t("passages.look")}
      </button>
    </td>
  </tr>`;
}
