// Figures by camera and time: plots that can be read across a room, each with its table.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import { day, clock, percent, plain } from "/static/format.js";
import { Plot, dashes } from "/static/figures/plot.js";

/** For the help of this page. */
export const keys = [];

const PERIODS_D = { hour: [1, 2, 7, 30], day: [30, 90, 365] };
const MOST_LINES = 6; // cameras beside the sum: more cannot be told apart
const AGAIN_MS = 60_000;
const TILES = ["passages", "read_rate", "capture_rate", "alerts", "precision", "latency_p95_s"];
const COLUMNS = [
  "passages", "found", "read", "read_rate", "capture_rate", "alerts", "confirmed", "rejected",
  "precision", "latency_p50_s", "latency_p95_s",
];
const PLOTS = [
  { name: "passages", series: ["passages"], kind: "bars", byCamera: true },
  { name: "rates", series: ["read_rate", "capture_rate"], kind: "share" },
  { name: "alerts", series: ["alerts", "confirmed", "rejected"], kind: "bars" },
  { name: "precision", series: ["precision"], kind: "share" },
  { name: "latency", series: ["latency_p50_s", "latency_p95_s"], kind: "seconds" },
];
const SHARES = new Set(["read_rate", "capture_rate", "precision"]);

/** A figure in words. */
function worded(name, value) {
  if (value === null || value === undefined) return "–";
  if (SHARES.has(name)) return percent(value);
  return name.endsWith("_s") ? `${value.toFixed(2)} s` : String(value);
}

export default function Figures({ api, t }) {
  const [bucket, setBucket] = useState("hour");
  const [days, setDays] = useState(2);
  const [camera, setCamera] = useState(""); // "": all of them
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const [tries, setTries] = useState(0);

  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    async function load() {
      const from = new Date(Date.now() - days * 86_400_000).toISOString();
      try {
        const page = await api.get("/api/figures", { from, bucket }, { signal: stop.signal });
        setFound({ ...page, at: Date.now() });
        setProblem(null);
      } catch (error) {
        if (error.name === "AbortError") return;
        setProblem(error);
      }
      timer = setTimeout(load, AGAIN_MS);
    }
    load();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [bucket, days, tries]);

  const choose = (next) => {
    setBucket(next);
    if (!PERIODS_D[next].includes(days)) setDays(PERIODS_D[next][next === "day" ? 0 : 1]);
  };
  const cameras = found?.cameras.slice(1) ?? [];
  const shown = found?.cameras.find((one) => (one.camera ?? "") === camera) ?? found?.cameras[0];
  const select = (id, label, value, set, options) => html`<div class="field">
    <label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => set(event.target.value)}>
      ${options.map(([key, words]) => html`<option key=${key} value=${key}>${words}</option>`)}
    </select>
  </div>`;

  return html`<div class="page figures">
    <div class="toolbar">
      <h1 class="grow">${t("nav.figures")}</h1>
      ${select("figures-bucket", t("figures.bucket"), bucket, choose, ["hour", "day"].map((one) => [one, t(`figures.bucket.${one}`)]))}
      ${select("figures-days", t("figures.period"), String(days), (value) => setDays(Number(value)),
        PERIODS_D[bucket].map((one) => [String(one), t(`figures.period.${one}`)]))}
      ${select("figures-camera", t("figures.camera"), camera, setCamera,
        [["", t("figures.all")], ...cameras.map((one) => [one.camera, plain(one.camera)])])}
      <button class="button" onClick=${() => setTries(tries + 1)}>${t("figures.refresh")}</button>
    </div>
    ${problem &&
    html`<p class="error" role="alert">
      ${problem.status === 0 ? t("error.unreachable") : plain(problem.message) || t("error.unknown")}
    </p>`}
    ${!found && !problem && html`<p class="empty" role="status">${t("shell.loading")}</p>`}
    ${found &&
    html`<p class="muted">${t("figures.as_of", { at: clock(found.at) })}</p>
      <${Tiles} total=${shown.total} t=${t} />
      ${cameras.length === 0 && html`<p class="empty">${t("figures.none")}</p>`}
      <div class="figures__pair">
        ${PLOTS.map((plot) => html`<${Card} key=${plot.name} ...${{ plot, found, shown, t }} lines=${camera === "" ? cameras : []} />`)}
      </div>
      <${ByCamera} ...${{ t, found }} />`}
  </div>`;
}

function Tiles({ total, t }) {
  return html`<div class="figures__tiles">
    ${TILES.map((name) => html`<div class="card figures__tile" key=${name} data-figure=${name}>
      <span class="muted">${t(`figures.${name}`)}</span>
      <b>${worded(name, total[name])}</b>
    </div>`)}
  </div>`;
}

/** One plot, what it means, and the same as a table. */
function Card({ plot, found, shown, lines, t }) {
  const drawn = plot.series.map((name) => ({ label: t(`figures.${name}`), values: shown.series[name] }));
  if (plot.byCamera && lines.length > 1 && lines.length <= MOST_LINES) {
    for (const one of lines) drawn.push({ label: plain(one.camera), values: one.series.passages, line: true });
  }
  const named = t(`figures.plot.${plot.name}`);
  const sums = plot.series.map((name) => `${t(`figures.${name}`)} ${worded(name, shown.total[name])}`);
  return html`<section class="card stack" aria-labelledby=${`figures-${plot.name}`} data-plot=${plot.name}>
    <h2 id=${`figures-${plot.name}`}>${named}</h2>
    <${Plot} starts=${found.starts} end=${found.to} bucket=${found.bucket} series=${drawn} kind=${plot.kind}
      label=${`${named}: ${sums.join("; ")}`} />
    <ul class="figures__legend">
      ${drawn.map((one, place) => html`<li key=${one.label}>
        <svg viewBox="0 0 40 14" aria-hidden="true">
          <path d="M0 7H40" fill="none" stroke=${`var(--plot-${place})`} stroke-width="6" stroke-dasharray=${dashes(place).join(" ")} />
        </svg>
        ${one.label}
      </li>`)}
    </ul>
    <p class="muted">${t(`figures.means.${plot.name}`)}</p>
    <details>
      <summary>${t("figures.table_of", { name: named })}</summary>
      <${Rows} ...${{ found, shown, t, named }} series=${plot.series} />
    </details>
  </section>`;
}

function Rows({ found, shown, series, t, named }) {
  const start = (iso) => (found.bucket === "day" ? day(iso) : `${day(iso)} ${clock(iso).slice(0, 5)}`);
  return html`<div class="figures__table" tabindex="0" role="region" aria-label=${named}>
    <table class="table">
      <thead>
        <tr>
          <th scope="col">${t("figures.start")}</th>
          ${series.map((name) => html`<th scope="col" class="number" key=${name}>${t(`figures.${name}`)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${found.starts.map((iso, place) => html`<tr key=${iso}>
          <th scope="row" class="nowrap">${start(iso)}</th>
          ${series.map((name) => html`<td class="number" key=${name}>${worded(name, shown.series[name][place])}</td>`)}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

function ByCamera({ t, found }) {
  return html`<section class="card stack">
    <h2>${t("figures.by_camera")}</h2>
    <div class="table-scroll" tabindex="0" role="region" aria-label=${t("figures.by_camera")}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">${t("figures.camera")}</th>
            ${COLUMNS.map((name) => html`<th scope="col" class="number" key=${name}>${t(`figures.${name}`)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${found.cameras.map(({ camera, total }) => html`<tr key=${camera ?? ""} data-camera=${camera ?? ""}>
            <th scope="row">${camera === null ? t("figures.all") : plain(camera)}</th>
            ${COLUMNS.map((name) => html`<td class="number nowrap" key=${name}>${worded(name, total[name])}</td>`)}
          </tr>`)}
        </tbody>
      </table>
    </div>
  </section>`;
}
