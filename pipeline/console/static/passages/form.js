// What is searched for, and why.

import { html, useState } from "/static/vendor/htm-preact.js";
import { plain } from "/static/format.js";

/** Text as typed; "" means any. */
export const EMPTY = {
  plate: "",
  camera: "",
  from: "",
  to: "",
  plate_class: "",
  vehicle_class: "",
  colour: "",
  with_hit: false,
  unmasked: false,
  reason: "",
  case_number: "",
};
const PLATE_CLASSES = [
  "blue", "yellow_single", "yellow_double", "green_small", "green_large", "police", "coach",
  "hk_macau", "embassy", "consulate", "wj", "army", "motorcycle", "trailer", "temporary",
  "tractor", "emergency", "other",
];
const VEHICLE_CLASSES = ["car", "van", "bus", "truck", "motorcycle", "other"];
const COLOURS = ["black", "white", "silver", "red", "blue", "green", "yellow", "brown", "pink"];
const SPANS_H = [1, 6, 24];

/** The body of a search, of what the form holds; local times become UTC. */
export function request(form) {
  const text = (value) => (value === "" ? null : value);
  const moment = (value) => (value === "" ? null : new Date(value).toISOString());
  return {
    plate: text(form.plate.trim()),
    camera: text(form.camera.trim()),
    from: moment(form.from),
    to: moment(form.to),
    plate_class: text(form.plate_class),
    vehicle_class: text(form.vehicle_class),
    colour: text(form.colour),
    with_hit: form.with_hit ? true : null,
    unmasked: form.unmasked,
    reason: form.reason,
    case_number: form.case_number,
  };
}

/** An error in the page's words, with the server's own behind where they tell more. */
export function said(error, t) {
  if (error.status === 0) return t("error.unreachable");
  const known = t.or(`passages.error.${error.field ?? error.code}`, null);
  const message = plain(error.message).replace(`${error.field}: `, "");
  if (known === null) return message || t("error.unknown");
  return error.field || error.code === "too_many" ? `${known} (${message})` : known;
}

/** "2026-11-24T08:30" in local time, as a field of date and time wants it. */
function local(date) {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

export function SearchForm(props) {
  const { t, form, setForm, options, busy, first, problem, onSearch, onExport, onClear } = props;
  const [missing, setMissing] = useState([]);
  const set = (more) => {
    setForm({ ...form, ...more });
    setMissing(missing.filter((name) => !(name in more)));
  };
  const field = (name) => ({
    id: `passages-${name}`,
    name,
    value: form[name],
    "aria-invalid": missing.includes(name) || problem?.field === name ? "true" : undefined,
    onInput: (event) => set({ [name]: event.target.value }),
  });
  const choice = (name, values, group) =>
    html`<div class="field">
      <label for=${`passages-${name}`}>${t(`passages.${name}`)}</label>
      <select ...${field(name)}>
        <option value="">${t("action.all")}</option>
        ${values.map((value) => html`<option key=${value} value=${value}>
          ${t(`${group}.${value}`)}
        </option>`)}
      </select>
    </div>`;
  const told = (work) => (event) => {
    event.preventDefault();
    const gaps = ["reason", "case_number"].filter((name) => !form[name].trim());
    setMissing(gaps);
    if (gaps.length) document.getElementById(`passages-${gaps[0]}`).focus();
    else if (!busy) work();
  };
  const span = (hours) =>
    set({ from: local(new Date(Date.now() - hours * 3_600_000)), to: "" });

  return html`<form class="card stack" onSubmit=${told(onSearch)} aria-label=${t("passages.form")} novalidate>
    <div class="passages__fields">
      <div class="field">
        <label for="passages-plate">${t("passages.plate")}</label>
        <input ...${field("plate")} ref=${first} maxlength="64" autocomplete="off" spellcheck="false"
          aria-describedby="passages-plate-hint" />
        <span class="field__hint" id="passages-plate-hint">${t("passages.plate.hint")}</span>
      </div>
      <div class="field">
        <label for="passages-camera">${t("passages.camera")}</label>
        <input ...${field("camera")} maxlength="200" autocomplete="off" list="passages-cameras" />
        <datalist id="passages-cameras">
          ${(options?.cameras ?? []).map((name) => html`<option key=${name} value=${name} />`)}
        </datalist>
      </div>
      <div class="field">
        <label for="passages-from">${t("passages.from")}</label>
        <input type="datetime-local" ...${field("from")} />
        <span class="row" role="group" aria-label=${t("passages.span")}>
          ${SPANS_H.map(
            (hours) => html`<button type="button" class="button button--small button--quiet" key=${hours}
              onClick=${() => span(hours)}>
              ${t("passages.span.last", { n: hours })}
            </button>`,
          )}
        </span>
      </div>
      <div class="field">
        <label for="passages-to">${t("passages.to")}</label>
        <input type="datetime-local" ...${field("to")} />
      </div>
      ${choice("plate_class", PLATE_CLASSES, "plate_class")}
      ${choice("vehicle_class", VEHICLE_CLASSES, "vehicle_class")}
      ${choice("colour", COLOURS, "colour")}
      <div class="field passages__checks">
        <label><input type="checkbox" checked=${form.with_hit}
          onChange=${(event) => set({ with_hit: event.target.checked })} /> ${t("passages.with_hit")}</label>
        ${options?.may_unmask &&
        html`<label><input type="checkbox" checked=${form.unmasked}
          onChange=${(event) => set({ unmasked: event.target.checked })} /> ${t("passages.unmasked")}</label>`}
      </div>
    </div>
    <fieldset class="passages__why">
      <legend>${t("passages.why")}</legend>
      <div class="field">
        <label for="passages-reason">${t("passages.reason")}</label>
        <input ...${field("reason")} maxlength="500" required autocomplete="off"
          aria-describedby="passages-why-hint" />
      </div>
      <div class="field">
        <label for="passages-case_number">${t("passages.case_number")}</label>
        <input ...${field("case_number")} maxlength="100" required autocomplete="off" />
      </div>
      <p class="field__hint" id="passages-why-hint">
        ${t("passages.why.hint")}
        ${missing.length > 0 &&
        html` <span class="field__error" role="alert">${t("passages.why.missing")}</span>`}
      </p>
    </fieldset>
    <div class="toolbar">
      <button class="button button--primary" disabled=${busy !== null}>${t("action.search")}</button>
      <button type="button" class="button" onClick=${onClear}>${t("action.reset")}</button>
      <span class="grow"></span>
      ${options &&
      html`<span class="muted">${t("passages.kept", {
        hours: options.passages_h,
        days: options.hits_days,
      })}</span>`}
      ${options?.may_export &&
      html`<button type="button" class="button" disabled=${busy !== null} onClick=${told(onExport)}>
        ${t(form.unmasked ? "passages.export.unmasked" : "passages.export")}
      </button>`}
    </div>
  </form>`;
}
