// A list from a file: first what it would change, then exactly that.

import { html, useState } from "/static/vendor/htm-preact.js";
import { day, plain } from "/static/format.js";
import { useModal } from "/static/hooks.js";
import { Plate } from "/static/plate.js";
import { Category, Field, Why, rowMistakes, said } from "/static/watchlist/words.js";

export function ImportDialog({ api, t, onClose, onDone }) {
  const dialog = useModal(true, onClose);
  const [file, setFile] = useState(null);
  const [why, setWhy] = useState({ reason: "", case: "" });
  const [shown, setShown] = useState(null); // the answer of the dry run
  const [skipBad, setSkipBad] = useState(false);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);

  async function doing(event, work) {
    event?.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await work();
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  }
  const show = (event) =>
    doing(event, async () => {
      const form = new FormData();
      form.append("file", file);
      form.append("reason", why.reason);
      form.append("case", why.case);
      setShown(await api.upload("/api/watchlist/import", form));
      setSkipBad(false);
    });
  const more = () =>
    doing(null, async () => {
      const after = shown.changes.length;
      const page = await api.get(`/api/watchlist/import/${shown.import.digest}`, { after, limit: 200 });
      const changes = page.changes.filter((one) => one.event !== "bad");
      setShown({ ...shown, changes: [...shown.changes, ...changes] });
    });
  const apply = (event) =>
    doing(event, async () => {
      const body = { digest: shown.import.digest, skip_bad: skipBad, ...why };
      const { version, changed } = await api.post("/api/watchlist/import/apply", body);
      onDone(t("watchlist.import.done", { n: changed, version }));
    });
  const planned = shown?.import;
  const changes = planned ? planned.added + planned.replaced : 0;

  return html`<dialog class="dialog dialog--wide" ref=${dialog} aria-labelledby="import-title">
    <h2 id="import-title">${t("watchlist.import")}</h2>
    <ol class="watchlist__steps">
      <li aria-current=${!shown ? "step" : undefined}>${t("watchlist.import.step_file")}</li>
      <li aria-current=${shown ? "step" : undefined}>${t("watchlist.import.step_changes")}</li>
    </ol>
    ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${!shown &&
    html`<form class="stack" onSubmit=${show}>
      <${Field} id="import-file" label=${t("watchlist.import.file")} hint=${t("watchlist.import.file.hint")} required=${true} t=${t}>
        ${(attributes) => html`<input
          ...${attributes}
          type="file"
          accept=".csv,.xlsx,text/csv"
          onChange=${(event) => setFile(event.target.files[0] ?? null)}
        />`}
      <//>
      <${Why} id="import" ...${{ why, setWhy, t }} />
      <div class="dialog__actions">
        <button type="button" class="button" onClick=${() => dialog.current.close()}>${t("action.cancel")}</button>
        <button class="button button--primary" disabled=${busy || !file || !why.reason.trim()}>
          ${t(busy ? "watchlist.import.comparing" : "watchlist.import.show")}
        </button>
      </div>
    </form>`}
    ${shown &&
    html`<form class="stack" onSubmit=${apply}>
      <p role="status">
        <b>${plain(planned.file)}</b>:
        ${" "}${t("watchlist.import.counts", { added: planned.added, replaced: planned.replaced, unchanged: planned.unchanged, bad: planned.bad })}
      </p>
      <${Bad} ...${{ t, shown }} />
      ${shown.neighbours.length > 0 &&
      html`<details class="warning">
        <summary>${t("watchlist.import.neighbours", { n: shown.neighbours.length })}</summary>
        <ul>
          ${shown.neighbours.map(({ plate, listed }) => html`<li key=${plate}>${plain(plate)} ↔ ${plain(listed.join("、"))}</li>`)}
        </ul>
      </details>`}
      <${Changes} ...${{ t, changes: shown.changes }} />
      ${shown.changes.length < changes &&
      html`<p class="row">
        <button type="button" class="button" disabled=${busy} onClick=${more}>
          ${t("watchlist.import.more", { n: changes - shown.changes.length })}
        </button>
      </p>`}
      ${planned.bad > 0 && changes > 0 &&
      html`<label class="row">
        <input type="checkbox" checked=${skipBad} onChange=${(event) => setSkipBad(event.target.checked)} />
        ${t("watchlist.import.skip_bad", { n: planned.bad })}
      </label>`}
      <div class="dialog__actions">
        <button type="button" class="button" onClick=${() => setShown(null)}>${t("action.back")}</button>
        <button class="button button--primary" disabled=${busy || changes === 0 || (planned.bad > 0 && !skipBad)}>
          ${changes === 0 ? t("watchlist.import.nothing") : t("watchlist.import.apply", { n: changes })}
        </button>
      </div>
    </form>`}
  </dialog>`;
}

function Bad({ t, shown }) {
  const { bad } = shown;
  if (bad.length === 0) return null;
  return html`<details class="error" open>
    <summary>${t("watchlist.import.bad", { n: shown.import.bad })}</summary>
    <ul class="watchlist__bad">
      ${bad.map((one) => html`<li key=${`${one.line} ${one.message}`}>
        ${t("watchlist.import.line", { n: one.line })}: ${rowMistakes(one.message, t)}
      </li>`)}
    </ul>
    ${shown.import.bad > bad.length && html`<p>${t("watchlist.import.bad_more", { n: shown.import.bad - bad.length })}</p>`}
  </details>`;
}

function Changes({ t, changes }) {
  if (changes.length === 0) return null;
  const value = (one) => (one === null || one === undefined ? "–" : plain(Array.isArray(one) ? one.join("；") : one));
  return html`<div class="table-scroll" tabindex="0" role="region" aria-label=${t("watchlist.import.step_changes")}>
    <table class="table">
      <thead>
        <tr>
          ${["what", "plate", "category", "case_number", "expires_at", "fields"].map(
            (name) => html`<th scope="col" key=${name}>${t.or(`watchlist.history.${name}`, t(`watchlist.field.${name}`))}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${changes.map(({ event, entry, fields, before }) => html`<tr key=${entry.id} data-change=${event}>
          <td>
            <span class=${`badge badge--${event === "add" ? "ok" : "warn"}`}>
              <span aria-hidden="true">${event === "add" ? "+" : "±"}</span> ${t(`watchlist.import.${event}`)}
            </span>
          </td>
          <th scope="row"><${Plate} t=${t} size="small" text=${entry.plate} plateClass=${entry.plate_class} /></th>
          <td><${Category} entry=${entry} t=${t} /></td>
          <td class="wrap-anywhere">${plain(entry.case_number)}</td>
          <td class="nowrap">${day(new Date(entry.expires_at).getTime() - 1)}</td>
          <td class="wrap-anywhere">
            ${event === "add"
              ? plain(entry.disposition)
              : fields.map((name) => html`<div key=${name}>
                  ${t(`watchlist.field.${name}`)}: <del>${value(before[name])}</del> → <ins>${value(entry[name])}</ins>
                </div>`)}
          </td>
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}
