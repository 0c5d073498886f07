// What was decided just now and can still be taken back, with the seconds that are left.

import { html } from "/static/vendor/htm-preact.js";
import { dotted } from "/static/feed/alert.js";
import { useTick } from "/static/hooks.js";

/** `decisions`: [{id, plate, decision, until, problem}], the latest last. */
export function Undo({ t, decisions, onUndo, onDismiss }) {
  const now = useTick(200);
  const shown = decisions.filter((one) => one.until > now || one.problem);
  return html`<div class="undo" role="region" aria-label=${t("feed.undo")}>
    ${shown.map((one, number) => {
      const left = Math.max(0, Math.ceil((one.until - now) / 1000));
      return html`<div class="undo__one" key=${one.id} data-id=${one.id}>
        ${one.problem
          ? html`<span role="alert">${one.problem}</span>
              <button class="button button--small" onClick=${() => onDismiss(one.id)}>${t("action.close")}</button>`
          : html`<span>
                ${t("feed.undo.done", {
                  plate: dotted(one.plate) ?? t("plate.unread"),
                  decision: t.name("review", one.decision),
                })}
              </span>
              <button class="button button--primary" onClick=${() => onUndo(one.id)}>
                ↶ ${t("feed.undo")} ${number === shown.length - 1 && html`<kbd aria-hidden="true">Z</kbd>`}
              </button>
              <b class="undo__left" aria-label=${t("feed.undo.left", { n: left })}>${left}</b>`}
      </div>`;
    })}
  </div>`;
}
