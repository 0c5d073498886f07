// What several parts of the watchlist's page say.

import { html } from "/static/vendor/htm-preact.js";
import { plain } from "/static/format.js";

/** An error in the page's words, with the server's own behind where they tell more. */
export function said(error, t) {
  if (error.status === 0) return t("error.unreachable");
  const message = plain(error.message);
  const known = t.or(`watchlist.error.${error.code}`, null);
  if (known === null) return message || t("error.unknown");
  return message ? `${known} (${message})` : known;
}

/** The mistakes of an error by field; {} where it names none. */
export const mistakes = (error) => error?.body?.error?.fields ?? {};

const KNOWN = [
  [/^(is missing|must not be empty)$/, "missing"],
  [/has the form of no plate/, "no_plate"],
  [/^at most (?<n>\d+) days from now/, "too_long"],
  [/is in the past/, "past"],
  [/^must be after valid_from/, "order"],
  [/another person|somebody else/, "same_person"],
];

/** A mistake in the page's words, where it is one that it knows. */
function mistakeWords(message, t) {
  for (const [pattern, key] of KNOWN) {
    const found = pattern.exec(message);
    if (found) return t(`watchlist.mistake.${key}`, found.groups ?? {});
  }
  return plain(message);
}

/** What is wrong with a row of a file, field by field. */
export function rowMistakes(message, t) {
  return message
    .split("; ")
    .map((one) => {
      const [, field, what] = /^(\w+): (.*)$/s.exec(one) ?? [];
      const label = field === undefined ? null : t.or(`watchlist.field.${field}`, null);
      return label === null ? plain(one) : `${label}: ${mistakeWords(what, t)}`;
    })
    .join("；");
}

const STATES = {
  active: ["ok", "●"],
  pending: ["note", "◷"],
  draft: ["warn", "✎"],
  expired: ["quiet", "○"],
  cancelled: ["quiet", "✕"],
};

/** Where an entry stands: a word and a shape, never a colour alone. */
export function State({ state, t }) {
  const [kind, shape] = STATES[state] ?? ["quiet", "?"];
  return html`<span class="badge badge--${kind}">
    <span aria-hidden="true">${shape}</span> ${t(`watchlist.state.${state}`)}
  </span>`;
}

/** Category and priority. */
export function Category({ entry, t }) {
  const kind = entry.priority === 1 ? "danger" : entry.priority === 2 ? "warn" : "quiet";
  return html`<span class="row">
    <span class="badge badge--${kind}">${entry.priority} ${t.name("priority", entry.priority)}</span>
    <span>${plain(t.name("category", entry.category))}</span>
  </span>`;
}

/** One labelled field with its hint and its mistake beside it; `children` get its attributes. */
export function Field({ id, label, hint, mistake, required = false, t, children }) {
  const described = [hint && `${id}-hint`, mistake && `${id}-mistake`].filter(Boolean).join(" ");
  const attributes = {
    id,
    required,
    "aria-invalid": mistake ? "true" : undefined,
    "aria-describedby": described || undefined,
  };
  return html`<div class="field">
    <label for=${id}>${label}${required && html` <span aria-hidden="true">*</span>`}</label>
    ${children(attributes)}
    ${hint && html`<span class="field__hint" id=${`${id}-hint`}>${hint}</span>`}
    ${mistake && html`<span class="field__error" id=${`${id}-mistake`}>${mistakeWords(mistake, t)}</span>`}
  </div>`;
}

/** Why something is done, and for which case: for the audit log. */
export function Why({ id, why, setWhy, t, hint, reasonRequired = true }) {
  const input = (name, most) => (attributes) => html`<input
    ...${attributes}
    value=${why[name]}
    maxlength=${most}
    autocomplete="off"
    onInput=${(event) => setWhy({ ...why, [name]: event.target.value })}
  />`;
  return html`<${Field} id=${`${id}-reason`} label=${t("watchlist.why")} hint=${hint} required=${reasonRequired} t=${t}>
      ${input("reason", 500)}
    <//>
    <${Field} id=${`${id}-case`} label=${t("watchlist.field.case_number")} t=${t}>${input("case", 64)}<//>`;
}
