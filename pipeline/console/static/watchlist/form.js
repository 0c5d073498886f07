// A new entry: it is a draft until somebody else answers for it.

import { html, useState } from "/static/vendor/htm-preact.js";
import { plain } from "/static/format.js";
import { useModal } from "/static/hooks.js";
import { Plate } from "/static/plate.js";
import { Field, mistakes, said } from "/static/watchlist/words.js";

const EMPTY = {
  plate: "", plate_class: "", category: "", priority: "2", disposition: "", reason: "",
  case_number: "", expires_at: "", valid_from: "", vehicle_class: "", vehicle_colour: "",
  audience: "", source: "",
};

/** What is sent: a local time becomes UTC; a bare day means its end, there as here. */
function fieldsOf(form) {
  const fields = Object.fromEntries(Object.entries(form).filter(([, value]) => value.trim() !== ""));
  if (fields.valid_from) fields.valid_from = new Date(fields.valid_from).toISOString();
  return fields;
}

export function EntryDialog({ api, t, terms, onClose, onDone }) {
  const dialog = useModal(true, onClose);
  const [form, setForm] = useState(EMPTY);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const wrong = mistakes(problem);
  const shown = Object.keys(wrong).filter((name) => name in EMPTY);

  async function save(event) {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const { entry, neighbours } = await api.post("/api/watchlist", { fields: fieldsOf(form) });
      const words = t("watchlist.drafted", { plate: entry.plate });
      onDone(neighbours.length ? `${words} ${t("watchlist.alike", { plates: neighbours.join("、") })}` : words);
    } catch (error) {
      setProblem(error);
      const first = Object.keys(mistakes(error)).find((name) => name in EMPTY);
      if (first) document.getElementById(`entry-${first}`)?.focus();
      setBusy(false);
    }
  }
  const set = (name) => (event) => setForm({ ...form, [name]: event.target.value });
  const field = (name, control, { required = false, hint } = {}) => html`<${Field}
    id=${`entry-${name}`}
    label=${t(`watchlist.field.${name}`)}
    mistake=${wrong[name]}
    ...${{ required, hint, t }}
  >
    ${(attributes) => control({ ...attributes, value: form[name], autocomplete: "off", onInput: set(name) })}
  <//>`;
  const text = (most) => (a) => html`<input ...${a} maxlength=${most} />`;
  const area = (a) => html`<textarea ...${a} rows="2" maxlength="500"></textarea>`;
  const choice = (values, group, empty) => (a) => html`<select ...${a}>
    ${empty && html`<option value="">${empty}</option>`}
    ${values.map((one) => html`<option key=${one} value=${one}>${t.name(group, one)}</option>`)}
  </select>`;
  const days = terms?.categories[form.category];
  const today = new Date().toISOString().slice(0, 10);

  return html`<dialog class="dialog dialog--wide" ref=${dialog} aria-labelledby="entry-title">
    <h2 id="entry-title">${t("watchlist.add")}</h2>
    <p class="muted">${t("watchlist.add.hint")}</p>
    ${problem && shown.length === 0 && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${shown.length > 0 &&
    html`<p class="error" role="alert">${t("watchlist.mistakes", { n: shown.length })} ${plain(wrong[""] ?? "")}</p>`}
    <form class="watchlist__form" onSubmit=${save} novalidate>
      <div class="watchlist__plate">
        ${field("plate", text(64), { required: true, hint: t("watchlist.field.plate.hint") })}
        ${form.plate.trim() &&
        html`<${Plate} t=${t} text=${form.plate.trim().toUpperCase()} plateClass=${form.plate_class || null} />`}
      </div>
      ${field("plate_class", choice(terms?.plate_classes ?? [], "plate_class", t("watchlist.any")))}
      ${field("category", choice(Object.keys(terms?.categories ?? {}), "category", t("watchlist.choose")), { required: true })}
      ${field("priority", choice(["1", "2", "3", "4"], "priority"))}
      ${field("disposition", area, { required: true, hint: t("watchlist.field.disposition.hint") })}
      ${field("reason", area, { required: true })}
      ${field("case_number", text(64), { required: true })}
      ${field("expires_at", (a) => html`<input ...${a} type="date" min=${today} />`, {
        required: true,
        hint: days && t("watchlist.field.expires_at.hint", { n: Math.floor(days) }),
      })}
      ${field("valid_from", (a) => html`<input ...${a} type="datetime-local" />`, { hint: t("watchlist.field.valid_from.hint") })}
      ${field("vehicle_class", choice(terms?.vehicle_classes ?? [], "vehicle_class", t("watchlist.any")))}
      ${field("vehicle_colour", choice(terms?.vehicle_colours ?? [], "colour", t("watchlist.any")))}
      ${field("audience", text(300), { hint: t("watchlist.field.audience.hint") })}
      ${field("source", text(64))}
      <div class="dialog__actions watchlist__wide">
        <button type="button" class="button" onClick=${() => dialog.current.close()}>${t("action.cancel")}</button>
        <button class="button button--primary" disabled=${busy}>${t("watchlist.draft")}</button>
      </div>
    </form>
  </dialog>`;
}
