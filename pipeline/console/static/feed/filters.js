// Which alerts are shown. What waits for an urgent decision is never hidden without a word.

import { html } from "/static/vendor/htm-preact.js";
import { plain } from "/static/format.js";
import { KIND_SHAPES } from "/static/feed/alert.js";

export const NO_FILTER = {
  kinds: [], // none: all
  category: "",
  priority: 4, // the least urgent that is shown
  checkpoint: "",
  camera: "",
  state: "",
};

const STATES = {
  undecided: (alert) => alert.review.state === "unverified" && !alert.retracted,
  confirmed: (alert) => alert.review.state === "confirmed",
  rejected: (alert) => alert.review.state === "rejected",
  escalated: (alert) => alert.escalated !== null,
  late: (alert) => alert.late,
  retracted: (alert) => alert.retracted,
};

export function passes(alert, filter) {
  return (
    (filter.kinds.length === 0 || filter.kinds.includes(alert.kind)) &&
    (!filter.category || alert.category === filter.category) &&
    alert.priority <= filter.priority &&
    (!filter.checkpoint || alert.checkpoint === filter.checkpoint) &&
    (!filter.camera || alert.camera === filter.camera) &&
    (!filter.state || STATES[filter.state](alert))
  );
}

export const isFiltering = (filter) =>
  Object.keys(NO_FILTER).some((key) => String(filter[key]) !== String(NO_FILTER[key]));

/** `known`: {categories, checkpoints, cameras} that there are. */
export function Filters({ t, filter, setFilter, known }) {
  const set = (more) => setFilter({ ...filter, ...more });
  const toggle = (kind) =>
    set({
      kinds: filter.kinds.includes(kind)
        ? filter.kinds.filter((one) => one !== kind)
        : [...filter.kinds, kind],
    });
  const choice = (key, names) =>
    html`<select
      aria-label=${t(`feed.filter.${key}`)}
      value=${filter[key]}
      onChange=${(event) => set({ [key]: event.target.value })}
    >
      <option value="">${t(`feed.filter.${key}.all`)}</option>
      ${names.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}
    </select>`;
  const own = (values) => values.map((value) => [value, plain(value)]);
  return html`<div class="filters" role="group" aria-label=${t("feed.filter")}>
    <div class="row filters__kinds">
      ${Object.keys(KIND_SHAPES).map(
        (kind) => html`<button
          key=${kind}
          class="button button--small"
          aria-pressed=${String(filter.kinds.includes(kind))}
          onClick=${() => toggle(kind)}
        >
          <span aria-hidden="true">${KIND_SHAPES[kind]}</span> ${t(`kind.${kind}`)}
        </button>`,
      )}
    </div>
    ${choice("state", Object.keys(STATES).map((state) => [state, t(`feed.state.${state}`)]))}
    <select
      aria-label=${t("feed.filter.priority")}
      value=${filter.priority}
      onChange=${(event) => set({ priority: Number(event.target.value) })}
    >
      <option value="4">${t("feed.filter.priority.all")}</option>
      ${[1, 2, 3].map(
        (n) => html`<option key=${n} value=${n}>${t("feed.filter.priority.upto", { n })}</option>`,
      )}
    </select>
    ${choice("category", known.categories.map((value) => [value, plain(t.name("category", value))]))}
    ${known.checkpoints.length > 1 && choice("checkpoint", own(known.checkpoints))}
    ${known.cameras.length > 1 && choice("camera", own(known.cameras))}
    ${isFiltering(filter) &&
    html`<button class="button button--small" onClick=${() => setFilter(NO_FILTER)}>
      ${t("action.reset")}
    </button>`}
  </div>`;
}
