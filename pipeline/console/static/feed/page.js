// The feed: what operators watch. Urgent alerts stay on top until somebody decides.

import {
  html,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "/static/vendor/htm-preact.js";
import { Announcer } from "/static/feed/announce.js";
import { Detail } from "/static/feed/detail.js";
import { Filters, NO_FILTER, passes } from "/static/feed/filters.js";
import { isPinned, newestFirst } from "/static/feed/feed.js";
import { decidedBy, dotted } from "/static/feed/alert.js";
import { AlertRow } from "/static/feed/row.js";
import { Undo } from "/static/feed/undo.js";
import { Windowed } from "/static/feed/windowed.js";
import { isTyping, useListen, useTick } from "/static/hooks.js";

const ROW_REM = 9.4;
const HEAD_REM = 2.1;
const SHOWN_MS = 600; // an alert that has just come into view is not decided by a key meant for another

export const keys = [
  ["J ↓", "feed.key.next"],
  ["K ↑", "feed.key.previous"],
  ["N", "feed.key.undecided"],
  ["C", "feed.key.confirm"],
  ["R", "feed.key.reject"],
  ["E", "feed.key.escalate"],
  ["1 … 5", "feed.key.choice"],
  ["↵", "feed.key.enter"],
  ["Z", "feed.key.undo"],
  ["Esc", "feed.key.escape"],
  ["F", "feed.key.filter"],
];

export default function FeedPage({ api, me, t, feed, sound, rest }) {
  useListen(feed);
  const now = useTick(1000);
  const [filter, setFilter] = useState(NO_FILTER);
  const [selected, setSelected] = useState(rest);
  const [deciding, setDeciding] = useState(null);
  const [reveal, setReveal] = useState(null);
  const [undoable, setUndoable] = useState([]);
  const [notice, setNotice] = useState(null); // {id, words}: another was first
  const [atTop, setAtTop] = useState(true);
  const [unseen, setUnseen] = useState(0);
  const [said, setSaid] = useState(""); // for screen readers
  const seenBoth = useRef(false);
  const shownAt = useRef(0);
  const list = useRef(null);
  const rem = useRem();

  const mayDecide = me.roles.includes("editor") || me.roles.includes("approver");
  const items = useMemo(() => arrange(feed, filter, rem), [feed.version, filter, rem]);
  const alerts = useMemo(() => items.filter((item) => item.alert), [items]);
  const known = useMemo(() => knownValues(feed, me), [feed.version, me]);
  const alert = selected === null ? null : (feed.alerts.get(selected) ?? null);
  const hidden = feed.undecided().filter((one) => !passes(one, filter)).length;
  const undecided = feed.undecided().length;

  useEffect(() => {
    shownAt.current = performance.now();
    setDeciding(null);
    const hash = selected ? `#/feed/${encodeURIComponent(selected)}` : "#/feed";
    if (location.hash !== hash) history.replaceState(null, "", hash);
  }, [selected]);
  useEffect(() => {
    if (rest !== null && rest !== selected) setSelected(rest);
  }, [rest]);

  // Another operator's decision on what is being decided here ends that at once.
  useEffect(() => {
    if (!alert || !deciding || alert.review.state === "unverified") return;
    setDeciding(null);
    setNotice({ id: alert.id, words: t("feed.was_first", { decision: decidedBy(alert, t) }) });
  }, [alert?.review.state]);

  // An alert that is gone, with a store that was replaced, is not decided when it comes back.
  useEffect(() => {
    if (alert === null) setDeciding(null);
  }, [alert === null]);

  useEffect(
    () =>
      feed.onNew((arrived, before, type) => {
        if (type === "alert" && before === null && list.current?.scrollTop > 1) {
          setUnseen((count) => count + 1);
        }
      }),
    [feed],
  );

  const select = useCallback((id) => {
    setSelected(id);
    setReveal(id === null ? null : { key: id });
  }, []);

  function step(by) {
    const place = alerts.findIndex((item) => item.key === selected);
    const next = alerts[place < 0 ? 0 : Math.min(alerts.length - 1, Math.max(0, place + by))];
    if (next) select(next.key);
  }

  function nextUndecided() {
    const waiting = alerts.filter(({ alert: one }) => one.review.state === "unverified" && !one.retracted);
    const place = waiting.findIndex((item) => item.key === selected);
    const next = waiting[(place + 1) % waiting.length];
    if (next) select(next.key);
    else setSaid(t("feed.none_undecided"));
  }

  function begin(decision) {
    if (!alert || !mayDecide || alert.review.state !== "unverified") return;
    if (performance.now() - shownAt.current < SHOWN_MS) return;
    if (decision === "confirmed" && !seenBoth.current) {
      setSaid(t("feed.look_first"));
      return;
    }
    if (decision === "escalated" && alert.escalated) return;
    setNotice(null);
    setDeciding(decision);
  }

  async function decide({ note, outcome }) {
    const { id, plate, revision } = alert;
    const path = `/api/alerts/${encodeURIComponent(id)}`;
    try {
      if (deciding === "escalated") {
        feed.take((await api.post(`${path}/escalate`, { note })).alert);
        setSaid(t("feed.escalated"));
      } else {
        const body = { decision: deciding, note, outcome, seen_revision: revision };
        feed.take((await api.post(`${path}/review`, body)).alert);
        const until = Date.now() + me.undo_s * 1000;
        setUndoable((before) => [...before, { id, plate, decision: deciding, until }]);
        setSaid(t("feed.undo.done", { plate: dotted(plate) ?? "", decision: t(`review.${deciding}`) }));
      }
      setDeciding(null);
      list.current?.focus({ preventScroll: true });
    } catch (error) {
      const theirs = error.body?.error?.alert;
      if (error.status !== 409 || !theirs) throw error;
      feed.take(theirs);
      setDeciding(null);
      setNotice({ id, words: lost(error, theirs, t) });
    }
  }

  async function undo(id) {
    const drop = () => setUndoable((before) => before.filter((one) => one.id !== id));
    try {
      feed.take((await api.del(`/api/alerts/${encodeURIComponent(id)}/review`)).alert);
      drop();
      setSaid(t("feed.undo.undone"));
      select(id);
    } catch (error) {
      if (error.body?.error?.alert) feed.take(error.body.error.alert);
      const problem = t("feed.undo.failed", {
        message: error.status === 0 ? t("error.unreachable") : error.message,
      });
      setUndoable((before) => before.map((one) => (one.id === id ? { ...one, problem } : one)));
    }
  }

  useLayoutEffect(() => {
    const actions = {
      j: () => step(1),
      ArrowDown: () => step(1),
      k: () => step(-1),
      ArrowUp: () => step(-1),
      Home: () => alerts[0] && select(alerts[0].key),
      End: () => alerts.length && select(alerts[alerts.length - 1].key),
      n: nextUndecided,
      c: () => begin("confirmed"),
      r: () => begin("rejected"),
      e: () => begin("escalated"),
      z: () => {
        const last = undoable.filter((one) => one.until > Date.now() && !one.problem).at(-1);
        if (last) undo(last.id);
      },
      f: () => document.querySelector(".filters button")?.focus(),
      Escape: () => (deciding ? setDeciding(null) : select(null)),
    };
    const press = (event) => {
      const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const moves = /^(Arrow|Home|End)/.test(name);
      if (isTyping(event) || event.repeat || document.querySelector("dialog[open]")) {
        if (!(event.repeat && moves)) return;
      }
      if (moves && event.target.closest("select, .detail, .filters, .shell__bar")) return;
      if (!actions[name]) return;
      event.preventDefault();
      actions[name]();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  const selectedShown = alerts.some((item) => item.key === selected);
  const place = new Map(alerts.map((item, number) => [item.key, number]));
  return html`<div class="feed ${alert ? "feed--detail" : ""}">
    <${Announcer} feed=${feed} sound=${sound} t=${t} said=${said} />
    <section class="feed__list" aria-label=${t("nav.feed")}>
      <h1 class="visually-hidden">${t("nav.feed")}</h1>
      <${Filters} t=${t} filter=${filter} setFilter=${setFilter} known=${known} />
      ${hidden > 0 &&
      html`<p class="warning feed__hidden" role="status">
        <b>${t("feed.hidden", { n: hidden })}</b>
        <button class="button button--small" onClick=${() => setFilter(NO_FILTER)}>
          ${t("feed.show_all")}
        </button>
      </p>`}
      ${!atTop &&
      unseen > 0 &&
      html`<button
        class="button button--primary feed__new"
        onClick=${() => {
          list.current.scrollTop = 0;
        }}
      >
        ↑ ${t("feed.new", { n: unseen })}
      </button>`}
      <${Windowed}
        class="feed__rows"
        scroller=${list}
        items=${items}
        reveal=${reveal}
        onTop=${(top) => {
          setAtTop(top);
          if (top) setUnseen(0);
        }}
        role="listbox"
        tabindex="0"
        aria-label=${t("feed.list", { n: alerts.length, urgent: undecided })}
        aria-activedescendant=${selectedShown ? `alert-${selected}` : undefined}
        onClick=${(event) => {
          const row = event.target.closest("[data-id]");
          if (row) select(row.dataset.id);
        }}
      >
        ${(item, style) =>
          item.alert
            ? html`<${AlertRow}
                key=${item.key}
                alert=${item.alert}
                t=${t}
                now=${now}
                selected=${item.key === selected}
                place=${place.get(item.key)}
                count=${alerts.length}
                style=${style}
              />`
            : html`<div key=${item.key} class="feed__head ${item.key}" role="presentation" style=${style}>
                ${t(`feed.${item.key}`, { n: item.count })}
              </div>`}
      <//>
      ${alerts.length === 0 &&
      html`<p class="empty feed__empty" role="status">
        ${!feed.loaded ? t("shell.loading") : t(feed.alerts.size ? "feed.none_pass" : "feed.none")}
      </p>`}
    </section>
    <section class="feed__detail" aria-label=${t("feed.detail")}>
      ${notice &&
      notice.id === selected &&
      html`<p class="warning" role="alert">
        ${notice.words}
        <button class="button button--small" onClick=${() => setNotice(null)}>${t("action.close")}</button>
      </p>`}
      ${alert
        ? html`<${Detail}
            api=${api}
            t=${t}
            alert=${alert}
            now=${now}
            mayDecide=${mayDecide}
            deciding=${deciding}
            setDeciding=${(decision) => (decision ? begin(decision) : setDeciding(null))}
            onDecide=${decide}
            onSeen=${(both) => {
              seenBoth.current = both;
            }}
            onClose=${() => select(null)}
          />`
        : html`<div class="empty feed__hint">
            <p class="feed__count"><b>${undecided}</b> ${t("feed.undecided_count")}</p>
            <p>${t("feed.hint")}</p>
          </div>`}
    </section>
    <${Undo}
      t=${t}
      decisions=${undoable}
      onUndo=${undo}
      onDismiss=${(id) => setUndoable((before) => before.filter((one) => one.id !== id))}
    />
  </div>`;
}

/** Rows in their order: what is pinned, then everything else by time, each under its heading. */
function arrange(feed, filter, rem) {
  const pinned = feed.undecided().filter((alert) => passes(alert, filter));
  const others = [...feed.alerts.values()]
    .filter((alert) => !isPinned(alert) && passes(alert, filter))
    .sort(newestFirst);
  const height = Math.round(ROW_REM * rem);
  const rows = (alerts) => alerts.map((alert) => ({ key: alert.id, alert, height }));
  const head = (key, count) => ({ key, count, height: Math.round(HEAD_REM * rem) });
  return [
    ...(pinned.length ? [head("head_pinned", pinned.length), ...rows(pinned)] : []),
    ...(others.length ? [head("head_others", others.length), ...rows(others)] : []),
  ];
}

function knownValues(feed, me) {
  const values = { categories: new Set(me.categories), checkpoints: new Set(), cameras: new Set() };
  for (const alert of feed.alerts.values()) {
    values.categories.add(alert.category);
    values.checkpoints.add(alert.checkpoint);
    values.cameras.add(alert.camera);
  }
  return {
    categories: [...values.categories],
    checkpoints: [...values.checkpoints].sort(),
    cameras: [...values.cameras].sort(),
  };
}

function lost(error, theirs, t) {
  if (theirs.review.state === "unverified") return t("feed.amended");
  return t("feed.was_first", { decision: decidedBy(theirs, t) });
}

/** Pixels of one rem, which depends on the window's width. */
function useRem() {
  const read = () => parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  const [rem, setRem] = useState(read);
  useEffect(() => {
    const look = () => setRem(read());
    addEventListener("resize", look);
    return () => removeEventListener("resize", look);
  }, []);
  return rem;
}
