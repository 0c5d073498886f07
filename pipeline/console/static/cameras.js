// The wall of cameras: what each sees, and at once which of them is blind.

import { html, useEffect, useState } from "/static/vendor/htm-preact.js";
import { dateTime, duration, plain, since } from "/static/format.js";
import { useListen, usePolling, useTick } from "/static/hooks.js";
import { Plate } from "/static/plate.js";

const POLL_MS = 2_000;
const STILL_MS = 3_000;
const STILLS_PER_S = 8; // of all tiles together: a wall of many cameras refreshes each less often
const SILENT_S = 8; // no frame for so long is a fault, whatever the server has noticed yet
const UNKNOWN_MS = 10_000; // an answer older than this says nothing of now
const UNREAD = new Set(["unplaced", "unwatched", "unknown"]); // of a cluster's camera: nobody looks

/** {kind, shape, words}: how a camera is, by shape, word and colour. */
function condition(camera, stale, t) {
  if (stale) return { kind: "danger", shape: "?", words: t("cameras.unknown") };
  if (camera.cluster && UNREAD.has(camera.state)) {
    return { kind: "danger", shape: "✕", words: t.name("camera_fault", camera.state) };
  }
  const silent = camera.state === "streaming" && (camera.last_frame_age_s ?? 0) > SILENT_S;
  if (!camera.healthy || silent) {
    const frozen = camera.state === "streaming" && camera.unchanged_s > 0 && !silent;
    return {
      kind: "danger",
      shape: "✕",
      words: frozen ? t("cameras.frozen") : silent ? t("cameras.silent") : t.name("camera_fault", camera.state),
    };
  }
  if (camera.state === "streaming") return { kind: "ok", shape: "●", words: t("cameras.live") };
  if (camera.state === "stopped") return { kind: "quiet", shape: "■", words: t("cameras.stopped") };
  return { kind: "warn", shape: "◌", words: t("cameras.connecting") };
}

export default function CamerasPage({ api, me, t, feed }) {
  useListen(feed);
  const now = useTick(1000);
  const { data, error, at } = usePolling((signal) => api.get("/api/cameras", {}, { signal }), POLL_MS);
  const stale = data !== null && now - at > UNKNOWN_MS;
  const cameras = data?.cameras ?? [];
  const checkpoints = merged(data?.checkpoints ?? [], feed.checkpoints);
  const here = cameras.filter((camera) => !camera.cluster).length;
  const every = Math.max(STILL_MS, (here / STILLS_PER_S) * 1000);
  const bad = cameras.filter((camera) => condition(camera, stale, t).kind === "danger").length;
  return html`<div class="page cameras">
    <div class="toolbar toolbar--middle">
      <h1>${t("nav.cameras")}</h1>
      ${data &&
      html`<span class="badge badge--${bad ? "danger" : "ok"}" role="status">
        ${bad ? `✕ ${t("cameras.bad", { n: bad, all: cameras.length })}` : `● ${t("cameras.all_well", { all: cameras.length })}`}
      </span>`}
    </div>
    ${(error || stale) &&
    html`<p class="error">
      <span class="visually-hidden" role="alert">${t("cameras.unknown")}</span>
      ${t("cameras.no_answer", { ago: at ? duration((now - at) / 1000, t) : "–" })}
      ${error ? plain(error.message) : ""}
    </p>`}
    ${(data?.health ?? []).map(
      (one) => html`<p class="warning" key=${one.component}>
        <b>${plain(one.component)}</b> ${plain(one.message)}
      </p>`,
    )}
    ${data && cameras.length === 0 && html`<p class="empty">${t("cameras.none")}</p>`}
    <div class="tiles">
      ${cameras.map(
        (camera) => html`<${Tile}
          key=${camera.name}
          camera=${camera}
          stale=${stale}
          every=${every}
          now=${now}
          t=${t}
        />`,
      )}
    </div>
    ${(me.province || checkpoints.length > 0) &&
    html`<${Checkpoints} checkpoints=${checkpoints} now=${now} t=${t} />`}
  </div>`;
}

function Tile({ camera, stale, every, now, t }) {
  const { kind, shape, words } = condition(camera, stale, t);
  const drops = Object.entries(camera.dropped).filter(([, count]) => count > 0);
  const skips = Object.entries(camera.skipped ?? {}).filter(([, count]) => count > 0);
  const name = plain(camera.name);
  return html`<article class="card tile tile--${kind}" aria-label=${name} data-camera=${camera.name} data-kind=${kind}>
    <header class="tile__head">
      <h2>${name}</h2>
      <span class="badge badge--${kind}"><span aria-hidden="true">${shape}</span> ${words}</span>
    </header>
    ${camera.cluster
      ? html`<${Elsewhere} node=${camera.cluster.node} t=${t} />`
      : html`<${Still} name=${camera.name} every=${every} live=${kind !== "danger"} t=${t} />`}
    ${camera.problem && html`<p class="tile__problem">${plain(camera.problem)}</p>`}
    <dl class="facts tile__facts">
      ${camera.cluster && html`<${Placed} at=${camera.cluster} t=${t} />`}
      <dt>${t("cameras.fps")}</dt>
      <dd><b>${camera.fps.toFixed(1)}</b> ${t("cameras.fps.unit")}</dd>
      <dt>${t("cameras.latency")}</dt>
      <dd>${camera.latency_ms === null ? "–" : `${camera.latency_ms} ms`}</dd>
      <dt>${t("cameras.dropped")}</dt>
      <dd class=${drops.length ? "tile__drops" : ""}>${counted(drops, "cameras.drop", t)}</dd>
      ${skips.length > 0 &&
      html`<dt>${t("cameras.skipped")}</dt>
        <dd>${counted(skips, "cameras.skip", t)}</dd>`}
      ${camera.overlooked_s > 0 &&
      html`<dt>${t("cameras.overlooked")}</dt>
        <dd class="tile__drops">${t("cameras.overlooked.why", { long: duration(camera.overlooked_s, t) })}</dd>`}
      <dt>${t("cameras.last_frame")}</dt>
      <dd>
        ${camera.last_frame_age_s === null
          ? "–"
          : t("cameras.ago", { ago: duration(camera.last_frame_age_s, t) })}
      </dd>
      <dt>${t("cameras.last_passage")}</dt>
      <dd>
        ${camera.last_passage === null
          ? "–"
          : html`<span class="row">
              <${Plate} t=${t} size="small" text=${camera.last_passage.plate} plateClass=${camera.last_passage.plate_class} />
              ${t("cameras.ago", { ago: duration(since(camera.last_passage.at, now), t) })}
            </span>`}
      </dd>
      <dt>${t("cameras.reconnects")}</dt>
      <dd>${camera.reconnects}</dd>
      <dt>${t("cameras.source")}</dt>
      <dd class="muted">${plain(camera.source || "–")}</dd>
    </dl>
  </article>`;
}

const counted = (counts, words, t) =>
  counts.length === 0
    ? t("cameras.dropped.none")
    : counts.map(([cause, count]) => `${t.or(`${words}.${cause}`, cause)} ${count}`).join("；");

/** Pictures stay on the node that decoded them: none travels for a glance. */
function Elsewhere({ node, t }) {
  return html`<div class="still still--elsewhere">
    <span class="muted">${node === null ? t("cameras.no_still") : t("cameras.still_on", { node: plain(node) })}</span>
  </div>`;
}

/** Where in the cluster a camera is read, and for how long it was not. */
function Placed({ at, t }) {
  const node = at.node === null ? "–" : plain(at.node);
  return html`<dt>${t("cameras.node")}</dt>
    <dd class="wrap-anywhere" data-fact="node">
      <b>${node}</b>
      ${at.node_state !== null && html`<span class="muted"> ${t.name("node_state", at.node_state)}</span>`}
      ${at.moving_to !== null &&
      html`<div>${t("cameras.moving_to", { node: plain(at.moving_to) })}</div>`}
    </dd>
    <dt>${t("cameras.moves")}</dt>
    <dd>${at.moves}</dd>
    <dt>${t("cameras.unwatched")}</dt>
    <dd class=${at.unwatched_s >= 1 ? "tile__drops" : ""}>${duration(at.unwatched_s, t)}</dd>`;
}

/** The camera's last picture, asked for again and again; the old one stays until the new one is there. */
function Still({ name, every, live, t }) {
  const [shown, setShown] = useState(null); // {url}
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    let url = null;
    async function once() {
      try {
        const answer = await fetch(`/api/cameras/${encodeURIComponent(name)}/still`, {
          signal: stop.signal,
          cache: "no-store",
        });
        if (!answer.ok) throw new Error(answer.statusText);
        const next = URL.createObjectURL(await answer.blob());
        if (url) URL.revokeObjectURL(url);
        url = next;
        setShown({ url });
        setFailed(false);
      } catch {
        if (stop.signal.aborted) return;
        setFailed(true);
      }
      timer = setTimeout(once, every * (0.85 + Math.random() * 0.3));
    }
    once();
    return () => {
      stop.abort();
      clearTimeout(timer);
      if (url) URL.revokeObjectURL(url);
    };
  }, [name, every]);
  return html`<div class="still ${live && !failed ? "" : "still--old"}">
    ${shown
      ? html`<img src=${shown.url} alt=${t("cameras.still_of", { name: plain(name) })} />`
      : html`<span class="muted">${t(failed ? "cameras.no_still" : "shell.loading")}</span>`}
    ${shown && (failed || !live) && html`<span class="still__old">${t("cameras.old_still")}</span>`}
  </div>`;
}

const STATES = {
  online: ["ok", "●"],
  silent: ["danger", "✕"],
  expected: ["warn", "◌"],
};

/** What the list said, and what the feed has told since. */
function merged(listed, told) {
  const all = new Map(listed.map((one) => [one.checkpoint, one]));
  for (const [name, one] of told) {
    const known = all.get(name);
    if (!known || new Date(one.since) > new Date(known.since)) all.set(name, one);
  }
  return [...all.values()].sort((one, other) => one.checkpoint.localeCompare(other.checkpoint));
}

function Checkpoints({ checkpoints, now, t }) {
  return html`<section class="card">
    <h2>${t("cameras.checkpoints")}</h2>
    ${checkpoints.length === 0
      ? html`<p class="empty">${t("cameras.checkpoints.none")}</p>`
      : html`<div class="table-scroll">
          <table class="table">
            <thead>
              <tr>
                ${["checkpoint", "state", "last_seen", "waiting", "lag", "list", "version", "problems"].map(
                  (column) => html`<th scope="col" key=${column}>${t(`cameras.checkpoints.${column}`)}</th>`,
                )}
              </tr>
            </thead>
            <tbody>
              ${checkpoints.map((one) => html`<${CheckpointRow} key=${one.checkpoint} one=${one} now=${now} t=${t} />`)}
            </tbody>
          </table>
        </div>`}
  </section>`;
}

function CheckpointRow({ one, now, t }) {
  const [kind, shape] = STATES[one.state] ?? ["warn", "?"];
  const problems = Object.entries(one.problems ?? {});
  return html`<tr data-checkpoint=${one.checkpoint} data-kind=${kind}>
    <th scope="row">${plain(one.checkpoint)}</th>
    <td>
      <span class="badge badge--${kind}"><span aria-hidden="true">${shape}</span> ${t.name("checkpoint_state", one.state)}</span>
      <div class="muted">${dateTime(one.since)}</div>
    </td>
    <td>${one.last_seen_at ? t("cameras.ago", { ago: duration(since(one.last_seen_at, now), t) }) : "–"}</td>
    <td>${one.waiting_hits ?? "–"}${one.waiting_hits ? ` (${duration(one.oldest_waiting_s, t)})` : ""}</td>
    <td>${duration(one.lag_s, t)}</td>
    <td>${one.list_version === null ? "–" : `v${one.list_version} · ${duration(one.list_age_s, t)}`}</td>
    <td>${plain(one.version ?? "–")}</td>
    <td class="wrap-anywhere">
      ${problems.length === 0 ? "–" : problems.map(([name, words]) => html`<div key=${name}><b>${plain(name)}</b> ${plain(words)}</div>`)}
    </td>
  </tr>`;
}
