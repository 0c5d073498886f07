// The watchlist: looked through, drafted, approved, cancelled, imported and exported, by role.

import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { duration, plain } from "/static/format.js";
import { isTyping } from "/static/hooks.js";
import { Detail } from "/static/watchlist/detail.js";
import { EntryDialog } from "/static/watchlist/form.js";
import { ExportDialog } from "/static/watchlist/export.js";
import { ImportDialog } from "/static/watchlist/import.js";
import { Table } from "/static/watchlist/table.js";
import { said } from "/static/watchlist/words.js";

/** For the help of this page. */
export const keys = [
  ["/", "watchlist.key.search"],
  ["a", "watchlist.key.add"],
  ["Enter", "watchlist.key.open"],
  ["Esc", "watchlist.key.close"],
];

const STATES = ["", "draft", "active", "pending", "expired", "cancelled"];
const PAUSE_MS = 350; // after the last key, before it is searched
const AGAIN_MS = 1000; // while the list is being read

export default function Watchlist({ api, me, t, lang }) {
  const [query, setQuery] = useState("");
  const [state, setState] = useState("");
  const [list, setList] = useState(null); // the last answer, with all entries loaded so far
  const [reading, setReading] = useState(null);
  const [problem, setProblem] = useState(null);
  const [notice, setNotice] = useState(null);
  const [busy, setBusy] = useState(false);
  const [terms, setTerms] = useState(null);
  const [open, setOpen] = useState(null); // an entry's id, "add", "import" or "export"
  const search = useRef(null);
  const asked = useRef({ stop: null, timer: null });
  const may = (...roles) => roles.some((role) => me.roles.includes(role));

  const load = useCallback(
    async (after = null) => {
      const now = asked.current;
      now.stop?.abort();
      clearTimeout(now.timer);
      const stop = (now.stop = new AbortController());
      setBusy(true);
      try {
        const wanted = { query: query.trim(), state, after };
        const page = await api.get("/api/watchlist", wanted, { signal: stop.signal });
        setProblem(null);
        setReading(page.reading);
        if (page.reading) now.timer = setTimeout(() => load(after), AGAIN_MS);
        else {
          setList((before) => ({
            ...page,
            entries: after ? [...before.entries, ...page.entries] : page.entries,
          }));
        }
      } catch (error) {
        if (error.name !== "AbortError") setProblem(error);
      } finally {
        if (now.stop === stop) setBusy(false);
      }
    },
    [query, state],
  );

  useEffect(() => {
    api.get("/api/watchlist/terms").then(setTerms, setProblem);
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => load(), list === null ? 0 : PAUSE_MS);
    return () => clearTimeout(timer);
  }, [load]);
  useEffect(() => {
    const current = asked.current;
    return () => {
      current.stop?.abort();
      clearTimeout(current.timer);
    };
  }, []);
  useLayoutEffect(() => {
    const press = (event) => {
      if (isTyping(event) || document.querySelector("dialog[open]")) return;
      if (event.key === "/") search.current?.focus();
      else if (event.key === "a" && may("editor")) setOpen("add");
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [me]);

  const close = useCallback(() => setOpen(null), []);
  const done = useCallback(
    (words) => {
      setOpen(null);
      setNotice(words);
      load();
    },
    [load],
  );
  const shared = { api, me, t, lang, may, terms, onClose: close, onDone: done };

  return html`<div class="page watchlist">
    <div class="toolbar">
      <h1 class="grow">${t("nav.watchlist")}</h1>
      ${list &&
      html`<span class="muted" data-version=${list.version}>
        ${t("watchlist.version", { n: list.version, age: duration(list.age_s, t) })}
      </span>`}
    </div>
    <div class="toolbar">
      <div class="field grow">
        <label for="watchlist-query">${t("watchlist.search")}</label>
        <input
          id="watchlist-query"
          type="search"
          ref=${search}
          value=${query}
          maxlength="200"
          autocomplete="off"
          placeholder=${t("watchlist.search.hint")}
          onInput=${(event) => setQuery(event.target.value)}
        />
      </div>
      ${may("editor") &&
      html`<button class="button button--primary" onClick=${() => setOpen("add")}>${t("watchlist.add")}</button>
        <button class="button" onClick=${() => setOpen("import")}>${t("watchlist.import")}</button>`}
      ${may("editor", "approver", "auditor") &&
      html`<button class="button" onClick=${() => setOpen("export")}>${t("watchlist.export")}</button>`}
    </div>
    <div class="row" role="group" aria-label=${t("watchlist.states")}>
      ${STATES.map(
        (one) => html`<button
          key=${one}
          class="button button--small"
          aria-pressed=${String(one === state)}
          data-state=${one || "all"}
          onClick=${() => setState(one)}
        >
          ${one ? t(`watchlist.state.${one}`) : t("action.all")}
          ${" "}<b>${list ? count(list.counts, one) : "…"}</b>
        </button>`,
      )}
    </div>
    ${notice &&
    html`<p class="success" role="status">
      ${notice}
      ${" "}<button class="button button--small" onClick=${() => setNotice(null)}>${t("action.close")}</button>
    </p>`}
    ${problem && html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${reading && html`<${Reading} reading=${reading} t=${t} />`}
    ${list &&
    html`<${Table}
      ...${{ t, me, busy, may }}
      entries=${list.entries}
      more=${list.next !== null}
      onOpen=${setOpen}
      onMore=${() => load(list.next)}
    />`}
    ${open === "add" && html`<${EntryDialog} ...${shared} />`}
    ${open === "import" && html`<${ImportDialog} ...${shared} />`}
    ${open === "export" && html`<${ExportDialog} ...${shared} />`}
    ${open && !["add", "import", "export"].includes(open) &&
    html`<${Detail} key=${open} id=${open} ...${shared} />`}
    <p class="visually-hidden" role="status">
      ${list && !busy ? t("watchlist.found", { n: list.entries.length, plate: plain(query) }) : ""}
    </p>
  </div>`;
}

/** How many there are in a state; all without the drafts, which are not on the list. */
function count(counts, state) {
  if (state) return counts[state];
  return Object.entries(counts).reduce((sum, [name, n]) => (name === "draft" ? sum : sum + n), 0);
}

function Reading({ reading, t }) {
  const total = Math.max(reading.total, reading.done, 1);
  return html`<div class="notice" role="status">
    <label for="watchlist-reading">${t("watchlist.reading", { n: reading.done, total })}</label>
    <progress id="watchlist-reading" max=${total} value=${reading.done}></progress>
  </div>`;
}
