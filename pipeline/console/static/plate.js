// A number plate drawn as a plate: layout in millimetres after GA 36-2018, colours of its class.
//
//   <Plate t text plateClass probabilities size compare />
//
// `probabilities`: of each character; a doubtful one is faded and underlined, and its figure shows on
// pointing at it. `compare`: a text whose differing characters are framed. `size`: "small", "large"
// or none. A text of null is a hatched plate. <PlateFigures /> gives the figures themselves.

import { html, useMemo } from "/static/vendor/htm-preact.js";
import { percent } from "/static/format.js";

const DOUBTFUL = 0.9;
const WHITE = "#ffffff";
const BLACK = "#101010";
const RED = "#b00020";
const YELLOW = "#f5c400";

/** Ground, characters and, where some characters differ, which and how. */
const STYLES = {
  blue: { ground: "#0b4ea2", ink: WHITE },
  yellow_single: { ground: YELLOW, ink: BLACK },
  yellow_double: { ground: YELLOW, ink: BLACK, rows: 2 },
  green_small: { ground: "gradient", ink: BLACK, energy: true },
  green_large: { ground: "#57c47a", ink: BLACK, energy: true, left: YELLOW },
  police: { ground: "#f4f4f4", ink: BLACK, red: /警/ },
  coach: { ground: YELLOW, ink: BLACK },
  hk_macau: { ground: BLACK, ink: WHITE },
  embassy: { ground: BLACK, ink: WHITE, red: /使/, onDark: "#ff6b5e", dot: null },
  consulate: { ground: BLACK, ink: WHITE, red: /领/, onDark: "#ff6b5e", dot: null },
  wj: { ground: "#f4f4f4", ink: BLACK, red: /[WJ]/, redUpTo: 2 },
  army: { ground: "#f4f4f4", ink: BLACK, red: /./, redUpTo: 1 },
  motorcycle: { ground: YELLOW, ink: BLACK, rows: 2, small: true },
  trailer: { ground: YELLOW, ink: BLACK, rows: 2 },
  temporary: { ground: "#cfe2f7", ink: BLACK },
  tractor: { ground: "#1d7a3a", ink: WHITE },
  emergency: { ground: "#f4f4f4", ink: BLACK, red: /[应急]/ },
};
const NEUTRAL = { ground: "#d9dee2", ink: BLACK, dashed: true };
const HANZI = /\p{Script=Han}/u;
let drawn = 0;

/** Where each character stands: {width, height, cells: [{x, y, w, h}], dot}; x is the middle. */
export function layout(count, style) {
  if (style.rows === 2 && count > 2) {
    const small = style.small === true;
    const [width, height] = small ? [220, 140] : [440, 220];
    const [top, bottom] = small ? [{ y: 12, h: 48, w: 38 }, { y: 68, h: 60, w: 30 }]
      : [{ y: 15, h: 60, w: 80 }, { y: 90, h: 110, w: 65 }];
    const spread = (number, gap, row) =>
      Array.from({ length: number }, (_, place) => ({
        x: width / 2 + (place - (number - 1) / 2) * (row.w + gap),
        ...row,
      }));
    const gap = small ? 10 : 15;
    return {
      width,
      height,
      cells: [...spread(2, small ? 32 : 60, top), ...spread(count - 2, gap, bottom)],
      dot: { x: width / 2, y: top.y + top.h / 2, r: small ? 4 : 6 },
    };
  }
  const y = 25;
  const h = 90;
  if (style.energy && count === 8) {
    const middles = [38, 91, 183, 235, 287, 339, 391, 443];
    const cells = middles.map((x, place) => ({ x, y, h, w: place === 0 ? 45 : 43 }));
    return { width: 480, height: 140, cells, dot: null };
  }
  if (count === 7 && style.dot !== null) {
    const cells = [38, 95, 174, 231, 288, 345, 402].map((x) => ({ x, y, h, w: 45 }));
    return { width: 440, height: 140, cells, dot: { x: 134.5, y: y + h / 2, r: 6 } };
  }
  const step = Math.min(57, (440 - 31) / Math.max(count, 1));
  const cells = Array.from({ length: count }, (_, place) => ({
    x: 220 + (place - (count - 1) / 2) * step,
    y,
    h,
    w: Math.max(4, Math.min(45, step - 9)),
  }));
  return { width: 440, height: 140, cells, dot: null };
}

export function Plate({ t, text, plateClass, probabilities, size, compare }) {
  const id = useMemo(() => `plate-${++drawn}`, []);
  const classes = `plate ${size ? `plate--${size}` : ""}`;
  if (!text) return html`<${Unread} id=${id} classes=${classes} t=${t} />`;

  const pattern = /[?*？＊\[]/.test(text);
  const style = (!pattern && STYLES[plateClass]) || NEUTRAL;
  const characters = [...text];
  const { width, height, cells, dot } = layout(characters.length, style);
  const doubts = characters.map((_, place) => probabilities?.[place] ?? null);
  return html`<svg
    class=${classes}
    viewBox=${`0 0 ${width} ${height}`}
    role="img"
    aria-label=${label(t, text, plateClass, doubts, pattern)}
    data-plate=${text}
  >
    ${style.ground === "gradient" &&
    html`<defs>
      <linearGradient id=${id} x1="0" y1="0" x2="0" y2="1">
        <stop offset="0" stop-color="#f3fbf4" />
        <stop offset="1" stop-color="#45bd6b" />
      </linearGradient>
    </defs>`}
    <rect
      width=${width}
      height=${height}
      rx="12"
      fill=${style.ground === "gradient" ? `url(#${id})` : style.ground}
    />
    ${style.left &&
    html`<path d=${`M12 0H122V${height}H12A12 12 0 0 1 0 ${height - 12}V12A12 12 0 0 1 12 0Z`} fill=${style.left} />`}
    <rect
      x="5"
      y="5"
      width=${width - 10}
      height=${height - 10}
      rx="8"
      fill="none"
      stroke=${style.ink}
      stroke-width="3"
      stroke-dasharray=${style.dashed ? "12 8" : undefined}
    />
    ${dot && html`<circle cx=${dot.x} cy=${dot.y} r=${dot.r} fill=${style.ink} />`}
    ${characters.map((character, place) =>
      Character({
        character,
        cell: cells[place],
        probability: doubts[place],
        ink: inkOf(style, character, place),
        ground: style.ink,
        framed: compare !== undefined && [...(compare ?? "")][place] !== character,
      }),
    )}
  </svg>`;
}

function Character({ character, cell, probability, ink, ground, framed }) {
  const hanzi = HANZI.test(character);
  const fontSize = hanzi ? cell.h * 1.06 : cell.h * 1.34;
  const fitted = !hanzi && /[1I?*•]/.test(character) ? cell.w * 0.55 : cell.w;
  const doubtful = probability !== null && probability < DOUBTFUL;
  const shade = probability === null ? 1 : 0.3 + 0.7 * Math.max(0, Math.min(1, (probability - 0.4) / 0.6));
  const baseline = cell.y + cell.h * (hanzi ? 0.9 : 0.985);
  const left = cell.x - cell.w / 2;
  return html`<g key=${cell.x}>
    ${probability !== null && html`<title>${`${character} ${percent(probability)}`}</title>`}
    <rect x=${left - 4} y=${cell.y - 6} width=${cell.w + 8} height=${cell.h + 12} fill="transparent" />
    <text
      x=${cell.x}
      y=${baseline}
      font-size=${fontSize}
      text-anchor="middle"
      textLength=${fitted}
      lengthAdjust="spacingAndGlyphs"
      fill=${ink}
      fill-opacity=${shade}
    >
      ${character}
    </text>
    ${doubtful &&
    html`<path
      d=${`M${left - 2} ${cell.y + cell.h + 9}h${cell.w + 4}`}
      stroke=${ground}
      stroke-width="6"
      stroke-dasharray="7 5"
    />`}
    ${framed &&
    html`<rect
      x=${left - 5}
      y=${cell.y - 8}
      width=${cell.w + 10}
      height=${cell.h + 18}
      rx="6"
      fill="none"
      stroke="#e5231b"
      stroke-width="6"
    />`}
  </g>`;
}

/** Each character with its confidence in percent, for reading: visible, and for screen readers. */
export function PlateFigures({ t, text, probabilities }) {
  if (!text || !probabilities?.length) return null;
  return html`<ol class="plate-figures">
    ${[...text].map((character, place) => {
      const probability = probabilities[place] ?? null;
      const doubtful = probability !== null && probability < DOUBTFUL;
      return html`<li key=${place} class=${doubtful ? "plate-figures--doubtful" : ""}>
        <span class="visually-hidden">
          ${t("plate.character", { character, percent: percent(probability) })}
        </span>
        <b aria-hidden="true">${character}</b>
        <span aria-hidden="true">
          ${probability === null ? "–" : Math.floor(probability * 100 + 1e-9)}${doubtful ? "!" : ""}
        </span>
      </li>`;
    })}
  </ol>`;
}

function Unread({ id, classes, t }) {
  return html`<svg class=${classes} viewBox="0 0 440 140" role="img" aria-label=${t("plate.unread.label")} data-plate="">
    <defs>
      <pattern id=${id} width="28" height="28" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width="28" height="28" fill="#c9d0d6" />
        <rect width="14" height="28" fill="#a3adb6" />
      </pattern>
    </defs>
    <rect width="440" height="140" rx="12" fill=${`url(#${id})`} />
    <rect x="5" y="5" width="430" height="130" rx="8" fill="none" stroke=${BLACK} stroke-width="3" stroke-dasharray="12 8" />
    <rect x="90" y="36" width="260" height="68" rx="8" fill="#f4f4f4" />
    <text x="220" y="87" font-size="50" text-anchor="middle" fill=${BLACK}>${t("plate.unread")}</text>
  </svg>`;
}

function inkOf(style, character, place) {
  if (!style.red?.test(character)) return style.ink;
  if (style.redUpTo !== undefined && place >= style.redUpTo) return style.ink;
  return style.onDark ?? RED;
}

function label(t, text, plateClass, doubts, pattern) {
  const named = pattern ? t("plate.pattern") : t.name("plate_class", plateClass);
  const doubtful = [...text]
    .map((character, place) => [character, doubts[place]])
    .filter(([, probability]) => probability !== null && probability < DOUBTFUL)
    .map(([character, probability]) => t("plate.character", { character, percent: percent(probability) }));
  return [t("plate.label", { plate: text, class: named }), ...doubtful].join("; ");
}
