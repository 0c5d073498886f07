// The list as a file, for who may: with a reason, which is recorded.

import { html, useState } from "/static/vendor/htm-preact.js";
import { useModal } from "/static/hooks.js";
import { Field, Why, said } from "/static/watchlist/words.js";

export function ExportDialog({ api, t, onClose, onDone }) {
  const dialog = useModal(true, onClose);
  const [format, setFormat] = useState("csv");
  const [all, setAll] = useState(false);
  const [why, setWhy] = useState({ reason: "", case: "" });
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);

  async function save(event) {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const { blob, name } = await api.download("/api/watchlist/export", { format, all, ...why });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      onDone(t("watchlist.export.done", { name }));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  }
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="export-title">
    <h2 id="export-title">${t("watchlist.export")}</h2>
    ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    <form class="stack" onSubmit=${save}>
      <${Field} id="export-format" label=${t("watchlist.export.format")} t=${t}>
        ${(attributes) => html`<select ...${attributes} value=${format} onChange=${(event) => setFormat(event.target.value)}>
          <option value="csv">CSV (UTF-8)</option>
          <option value="xlsx">Excel (.xlsx)</option>
        </select>`}
      <//>
      <label class="row">
        <input type="checkbox" checked=${all} onChange=${(event) => setAll(event.target.checked)} />
        ${t("watchlist.export.all")}
      </label>
      <${Why} id="export" ...${{ why, setWhy, t }} hint=${t("watchlist.why.hint")} />
      <div class="dialog__actions">
        <button type="button" class="button" onClick=${() => dialog.current.close()}>${t("action.cancel")}</button>
        <button class="button button--primary" disabled=${busy || !why.reason.trim()}>${t("watchlist.export.save")}</button>
      </div>
    </form>
  </dialog>`;
}
