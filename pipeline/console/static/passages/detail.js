// One passage: its picture, its plate, what is known of both, and the unblurred original.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import { dateTime, percent, plain } from "/static/format.js";
import { useModal } from "/static/hooks.js";
import { said } from "/static/passages/form.js";
import { Plate } from "/static/plate.js";

export function Detail({ api, t, options, row, form, onClose }) {
  const dialog = useModal(true, onClose);
  const [details, setDetails] = useState(null);
  const [problem, setProblem] = useState(null);
  const base = `/api/passages/${encodeURIComponent(row.id)}`;
  const query = `?search=${encodeURIComponent(row.search)}`;

  useEffect(() => {
    const stop = new AbortController();
    api.get(base + query, {}, { signal: stop.signal }).then(setDetails, (error) => {
      if (error.name !== "AbortError") setProblem(error);
    });
    return () => stop.abort();
  }, [row.id]);

  const evidence = details?.evidence;
  return html`<dialog class="dialog dialog--wide" ref=${dialog} aria-labelledby="passage-title">
    <h2 id="passage-title">${t("passages.detail", { time: dateTime(row.ended_at) })}</h2>
    ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${!details && !problem && html`<p class="empty" role="status">${t("shell.loading")}</p>`}
    ${details &&
    html`<div class="passages__sides">
      <div class="stack">
        ${!evidence
          ? html`<p class="empty">${t("passages.no_picture")}</p>`
          : evidence.shown
            ? html`<${Picture} ...${{ api, t }} url=${`${base}/picture${query}`} words=${t("passages.picture")} />`
            : html`<p class="notice">${t("passages.error.plate_shown")}</p>`}
        ${evidence?.plate &&
        html`<${Picture} ...${{ api, t }} url=${`${base}/plate${query}`} words=${t("passages.plate_picture")} />`}
        ${evidence?.original && options?.may_unmask &&
        html`<${Original} ...${{ api, t, form }} url=${`${base}/unblurred`} />`}
      </div>
      <${Facts} t=${t} passage=${details.passage} evidence=${evidence} />
    </div>`}
    <div class="dialog__actions">
      <button class="button" onClick=${() => dialog.current.close()}>${t("action.close")}</button>
    </div>
  </dialog>`;
}

/** A picture of the server's; where it does not come, why. */
function Picture({ api, t, url, words }) {
  const [problem, setProblem] = useState(null);
  const ask = () => api.get(url).catch((error) => setProblem(said(error, t)));
  if (problem) return html`<p class="error" role="alert">${problem}</p>`;
  return html`<img class="passages__picture" src=${url} alt=${words} onError=${ask} />`;
}

/** The original takes a reason of its own: it shows people. */
function Original({ api, t, form, url }) {
  const [why, setWhy] = useState({ reason: "", case_number: form.case_number });
  const [picture, setPicture] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => () => picture && URL.revokeObjectURL(picture), [picture]);

  async function show(event) {
    event.preventDefault();
    setProblem(null);
    try {
      const { blob } = await api.download(url, why);
      setPicture(URL.createObjectURL(blob));
    } catch (error) {
      setProblem(error);
    }
  }
  const field = (name) => ({
    id: `original-${name}`,
    value: why[name],
    required: true,
    autocomplete: "off",
    onInput: (event) => setWhy({ ...why, [name]: event.target.value }),
  });
  if (picture) {
    return html`<figure class="passages__original">
      <img class="passages__picture" src=${picture} alt=${t("passages.original")} />
      <figcaption class="warning">${t("passages.original.shown")}</figcaption>
    </figure>`;
  }
  return html`<details class="card">
    <summary>${t("passages.original")}</summary>
    <form class="stack" onSubmit=${show}>
      <p class="muted">${t("passages.original.hint")}</p>
      <div class="field">
        <label for="original-reason">${t("passages.reason")}</label>
        <input ...${field("reason")} maxlength="500" />
      </div>
      <div class="field">
        <label for="original-case_number">${t("passages.case_number")}</label>
        <input ...${field("case_number")} maxlength="100" />
      </div>
      ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
      <button class="button button--danger">${t("passages.original.show")}</button>
    </form>
  </details>`;
}

function Facts({ t, passage, evidence }) {
  const known = (group, value) => (value === null ? "–" : t.name(group, value));
  const models = Object.entries(evidence?.models ?? {});
  const facts = [
    ["plate", html`<${Plate} t=${t} text=${passage.plate} plateClass=${passage.plate_class}
      probabilities=${passage.masked ? null : passage.char_probabilities} />`],
    ["plate_class", known("plate_class", passage.plate_class)],
    ["sure", `${percent(passage.probability)} · ${t("passages.reads", { n: passage.reads })}`],
    ["camera", plain([passage.camera, passage.lane].filter(Boolean).join(" · "))],
    ["direction", known("passages.direction", passage.direction)],
    ["vehicle", [known("colour", passage.vehicle_colour), known("vehicle_class", passage.vehicle_class)]
      .filter((word) => word !== "–").join(" ") || "–"],
    ["seen", `${dateTime(passage.started_at)} – ${dateTime(passage.ended_at)}`],
    ["hit", t(passage.has_hit ? "passages.hit" : "passages.no_hit")],
    ...(evidence
      ? [
          ["captured_at", dateTime(evidence.captured_at)],
          ["list_version", evidence.list_version ?? "–"],
          ["models", html`${models.length === 0 && "–"}${models.map(
            ([name, digest]) => html`<div key=${name}>${plain(name)} <span class="mono">${String(digest).slice(0, 12)}</span></div>`,
          )}`],
          ["software", plain(evidence.software ?? "–")],
          ["sha256", html`<span class="mono">${evidence.sha256}</span>`],
        ]
      : []),
  ];
  return html`<dl class="facts">
    ${facts.map(([name, value]) => html`<dt key=${`${name}-t`}>${t(`passages.fact.${name}`)}</dt>
      <dd key=${name}>${value}</dd>`)}
  </dl>`;
}
