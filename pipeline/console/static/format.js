// Times, ages and numbers as people read them, in the language of `t`.

const pad = (number) => String(number).padStart(2, "0");

/** "14:03:22", local time, of an ISO time or a Date. */
export function clock(moment) {
  const date = new Date(moment);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** "2026-11-24", local date. */
export function day(moment) {
  const date = new Date(moment);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** "2026-11-24 14:03:22"; a dash for null. */
export function dateTime(moment) {
  return moment === null || moment === undefined ? "–" : `${day(moment)} ${clock(moment)}`;
}

/** "14:03:22" today, with the date on other days. */
export function when(moment, now = Date.now()) {
  return day(moment) === day(now) ? clock(moment) : dateTime(moment);
}

const UNITS = [
  [86_400, "day"],
  [3_600, "hour"],
  [60, "minute"],
];

/** An age: "12 秒", "3 分钟", "5 小时", "2 天"; a dash for null. */
export function duration(seconds, t) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const whole = Math.max(0, seconds);
  for (const [size, unit] of UNITS) {
    if (whole >= size) return t(`unit.${unit}`, { n: Math.round(whole / size) });
  }
  return t("unit.second", { n: Math.round(whole) });
}

/** Seconds since an ISO time. */
export const since = (moment, now = Date.now()) => (now - new Date(moment).getTime()) / 1000;

/** "97.4 %", rounded down: what is not certain never shows as 100 %. A dash for null. */
export function percent(probability) {
  if (probability === null || probability === undefined) return "–";
  return `${(Math.floor(1000 * probability + 1e-9) / 10).toFixed(1)} %`;
}

/** Minutes and seconds that are left: "4:05". */
export function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(left / 60)}:${pad(left % 60)}`;
}

const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Text that others wrote, for showing: marks that reorder or hide a line are made visible, so that
 * a note or a camera's name cannot pretend to be something else.
 */
export function plain(text) {
  return String(text ?? "").replace(HIDDEN, (mark) =>
    mark === "\n" || mark === "\t" ? " " : `⟨U+${mark.codePointAt(0).toString(16).toUpperCase()}⟩`,
  );
}
