// One plot over time, drawn by uPlot in the theme's colours, large enough for a wall.

import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import uPlot from "/static/vendor/uPlot.esm.js";

const DASHES = [[], [18, 8], [4, 7], [18, 6, 4, 6], [30, 8], [10, 5], [2, 4]];
const RATIO = 0.42; // of height to width
const HEIGHT_PX = [220, 560];
const WHOLE = [1, 2, 5].flatMap((one) => [1, 10, 100, 1e3, 1e4, 1e5].map((ten) => one * ten)).sort((a, b) => a - b);

/** How the series at a place is dashed: colours alone are not told apart by everybody. */
export const dashes = (place) => DASHES[place % DASHES.length];

const pad = (number) => String(number).padStart(2, "0");

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return { text: value("--text"), line: value("--line"), series: DASHES.map((_, place) => value(`--plot-${place}`)) };
}

function useTheme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  useEffect(() => {
    const watch = new MutationObserver(() => setTheme(document.documentElement.dataset.theme));
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, []);
  return theme;
}

/**
 * `starts`: when each value's time begins; `series`: [{label, values, line}], null where nothing was
 * counted; `kind`: "bars" (counts), "share" (0 to 1) or "seconds"; `label`: for screen readers.
 */
export function Plot({ starts, end, bucket, series, kind, label }) {
  const root = useRef(null);
  const theme = useTheme();

  useEffect(() => {
    const element = root.current;
    const size = () => {
      const width = Math.max(280, element.clientWidth);
      return { width, height: Math.min(HEIGHT_PX[1], Math.max(HEIGHT_PX[0], width * RATIO)) };
    };
    const times = [...starts, end].map((iso) => new Date(iso).getTime() / 1000);
    const plot = new uPlot(options(size(), { bucket, series, kind, times }), data(times, series), element);
    const resize = new ResizeObserver(() => plot.setSize(size()));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [starts, series.map((one) => one.label).join(), series[0].values, theme]);

  return html`<div class="figures__plot" role="img" aria-label=${label}><div ref=${root}></div></div>`;
}

/** Each value in the middle of its time. */
const data = (times, series) => [
  times.slice(1).map((end, place) => (times[place] + end) / 2),
  ...series.map((one) => one.values),
];

function options({ width, height }, { bucket, series, kind, times }) {
  const { text, line, series: strokes } = colours();
  const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  const font = `${Math.round(rem)}px system-ui, sans-serif`;
  const seconds = times.at(-1) - times[0];
  const thick = Math.max(3, width / 260);
  const axis = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  const shown = {
    bars: (value) => String(value),
    share: (value) => `${Math.round(value * 100)} %`,
    seconds: (value) => `${Number(value.toFixed(2))} s`,
  }[kind];
  return {
    width,
    height,
    legend: { show: false },
    cursor: { show: false },
    padding: [12, 16, 0, 0],
    scales: { x: { time: true, range: [times[0], times.at(-1)] }, y: { range: range(kind) } },
    axes: [
      { ...axis, size: 2.6 * rem, space: 5.5 * rem, values: (plot, splits) => splits.map((at) => moment(at, bucket, seconds)) },
      {
        ...axis,
        size: 4.6 * rem,
        space: 2.2 * rem,
        ...(kind === "bars" && { incrs: WHOLE }),
        values: (plot, splits) => splits.map((value) => (value === null ? "" : shown(value))),
      },
    ],
    series: [
      {},
      ...series.map((one, place) => {
        const stroke = strokes[place % strokes.length];
        const few = times.length <= 60;
        const bars = kind === "bars" && place === 0 && !one.line;
        return {
          label: one.label,
          stroke,
          width: thick,
          dash: bars ? undefined : dashes(place),
          spanGaps: false,
          points: { show: !bars && few, size: thick * 3, fill: stroke },
          ...(bars && { fill: `${stroke}55`, paths: uPlot.paths.bars({ size: [0.8, 120] }), width: 1 }),
        };
      }),
    ],
  };
}

const range = (kind) => (plot, low, high) => {
  if (kind === "share") return [0, 1.02];
  const top = high === null || high <= 0 ? 1 : high * 1.08;
  return [0, kind === "bars" ? Math.max(top, 4) : top];
};

/** "08:00", and the date where a day begins or days are counted. */
function moment(at, bucket, seconds) {
  const date = new Date(at * 1000);
  const written = `${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  if (bucket === "day" || seconds > 4 * 86_400) return written;
  const hours = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  return hours === "00:00" ? written : hours;
}
