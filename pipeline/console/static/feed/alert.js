// An alert in words: what rows, details and announcements say of it.

import { duration, percent, plain, since, when } from "/static/format.js";

export const OLD_LIST_S = 300; // a list older than this is called out
export const KIND_SHAPES = { exact: "▲", possible: "△", partial: "◇" };
const PATTERN = /[?*？＊[]/;

export const isPattern = (plate) => PATTERN.test(plate ?? "");
export const pictureUrl = (alert) =>
  `/api/alerts/${encodeURIComponent(alert.id)}/picture?revision=${alert.revision}`;
export const plateUrl = (alert) =>
  `/api/alerts/${encodeURIComponent(alert.id)}/plate?revision=${alert.revision}`;

/** "辽A·12345": the text with the dot that plates of seven characters have. */
export const dotted = (plate) =>
  plate && plate.length === 7 && !isPattern(plate) ? `${plate.slice(0, 2)}·${plate.slice(2)}` : plate;

/** What a hit that is not exact rests on; "" where it is exact. */
export function restsOn(alert, t) {
  if (alert.kind === "exact") return "";
  if (alert.kind === "partial") {
    return alert.reading ? t("feed.fits", { reading: dotted(alert.reading) }) : t("feed.fits_any");
  }
  if (!alert.plate) return t("feed.unsure");
  if (alert.plate === alert.entry.plate) return t("feed.vehicle_differs");
  return t("feed.likelier", { plate: dotted(alert.plate) });
}

/** What was seen and what the entry says, for each attribute in which they differ. */
export function mismatches(alert, t) {
  return alert.mismatches.map((name) => {
    const group = name === "vehicle_colour" ? "colour" : name;
    const seen = { vehicle_colour: alert.vehicle.colour, vehicle_class: alert.vehicle.class }[name];
    return t("feed.mismatch", {
      attribute: t.name("attribute", name),
      seen: t.name(group, seen ?? (name === "plate_class" ? alert.plate_class : null)),
      wanted: t.name(group, alert.entry[name]),
    });
  });
}

/** "白色 轿车"; a dash where neither is known. */
export function vehicle(alert, t) {
  const { colour, class: kind } = alert.vehicle;
  const parts = [colour && t.name("colour", colour), kind && t.name("vehicle_class", kind)];
  return parts.filter(Boolean).join(" ") || "–";
}

export const category = (alert, t) => plain(t.name("category", alert.category));

export const place = (alert, t) =>
  plain(alert.lane ? t("feed.place_lane", { camera: alert.camera, lane: alert.lane }) : alert.camera);

/** Who decided what, when: "王五 14:03:22 确认"; "" where nobody has. */
export function decidedBy(alert, t) {
  const { state, reviewer, at } = alert.review;
  if (state === "unverified") return "";
  return t("feed.decided_by", {
    state: t.name("review", state),
    reviewer: plain(reviewer ?? "?"),
    at: at ? when(at) : "–",
  });
}

export function listAge(alert, t) {
  return t("feed.list_age", { age: duration(alert.list_age_s, t) });
}

/** How long before the alert a late hit's vehicle had passed. */
export function lateBy(alert, t) {
  const ago_s = (new Date(alert.occurred_at) - new Date(alert.passed_at)) / 1000;
  return t("feed.late_by", { ago: duration(ago_s, t) });
}

/** One sentence for screen readers. */
export function summary(alert, t) {
  return [
    alert.retracted && t("feed.retracted"),
    t.name("kind", alert.kind),
    t("feed.priority_of", { n: alert.priority, name: t.name("priority", alert.priority) }),
    category(alert, t),
    alert.plate ?? t("plate.unread.label"),
    percent(alert.probability),
    ...mismatches(alert, t),
    plain(alert.disposition),
    place(alert, t),
    t("feed.ago", { ago: duration(since(alert.occurred_at), t) }),
    alert.late && t("feed.late"),
    alert.escalated && t("feed.escalated"),
    t.name("review", alert.review.state),
  ]
    .filter(Boolean)
    .join(t("feed.comma"));
}
