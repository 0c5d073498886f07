// Passages: found within the retention, each search with a reason and a case number.

import { html, useCallback, useEffect, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { isTyping } from "/static/hooks.js";
import { Detail } from "/static/passages/detail.js";
import { EMPTY, SearchForm, request, said } from "/static/passages/form.js";
import { Results } from "/static/passages/results.js";

/** For the help of this page. */
export const keys = [
  ["/", "passages.key.search"],
  ["↑ ↓", "passages.key.move"],
  ["Enter", "passages.key.open"],
  ["Esc", "passages.key.close"],
];

// What was asked for last in this session, reason and case included. In memory alone: the next
// person at this screen has another session and must not find it.
let kept = { csrf: null, form: EMPTY };

export default function Passages({ api, me, t, lang }) {
  const [options, setOptions] = useState(null);
  const [form, setForm] = useState(kept.csrf === me.csrf ? kept.form : EMPTY);
  const [found, setFound] = useState(null); // {rows, total, next, masked, wanted}
  const [busy, setBusy] = useState(null); // null, "search", "more" or "export"
  const [problem, setProblem] = useState(null);
  const [notice, setNotice] = useState(null);
  const [open, setOpen] = useState(null); // the row that is looked at
  const first = useRef(null);
  const asked = useRef(null);

  useEffect(() => {
    api.get("/api/passages").then(setOptions, setProblem);
    return () => asked.current?.abort();
  }, []);
  useEffect(() => {
    kept = { csrf: me.csrf, form };
  }, [form]);
  useLayoutEffect(() => {
    const jump = (event) => {
      if (event.key === "/" && !isTyping(event) && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        first.current?.focus();
      }
    };
    addEventListener("keydown", jump);
    return () => removeEventListener("keydown", jump);
  }, []);

  async function doing(what, work) {
    asked.current?.abort();
    const stop = new AbortController();
    asked.current = stop;
    setBusy(what);
    setProblem(null);
    setNotice(null);
    try {
      await work(stop.signal);
    } catch (error) {
      if (error.name !== "AbortError") setProblem(error);
    } finally {
      if (asked.current === stop) setBusy(null);
    }
  }

  const rowsOf = (page) => page.passages.map((one) => ({ ...one, search: page.search }));
  const search = () =>
    doing("search", async (signal) => {
      const wanted = request(form);
      setFound(null);
      const page = await api.post("/api/passages/search", wanted, { signal });
      setFound({ ...page, rows: rowsOf(page), wanted });
    });
  const more = () =>
    doing("more", async (signal) => {
      const wanted = { ...found.wanted, after: found.next };
      const page = await api.post("/api/passages/search", wanted, { signal });
      setFound({ ...page, rows: [...found.rows, ...rowsOf(page)], wanted: found.wanted });
    });
  const save = () =>
    doing("export", async (signal) => {
      const { blob, name } = await api.download("/api/passages/export", request(form), { signal });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      setNotice(t("passages.exported", { name }));
    });
  const close = useCallback(() => setOpen(null), []);

  if (options && !options.available) {
    return html`<div class="page">
      <h1>${t("nav.passages")}</h1>
      <p class="empty">${t("passages.none_here")}</p>
    </div>`;
  }
  return html`<div class="page passages">
    <h1>${t("nav.passages")}</h1>
    <${SearchForm}
      ...${{ t, form, setForm, options, busy, first }}
      problem=${problem}
      onSearch=${search}
      onExport=${save}
      onClear=${() => {
        setForm({ ...EMPTY, reason: form.reason, case_number: form.case_number });
        setFound(null);
        setProblem(null);
        first.current?.focus();
      }}
    />
    ${problem &&
    html`<p class="error" role="alert">${said(problem, t)}</p>`}
    ${notice && html`<p class="success" role="status">${notice}</p>`}
    ${busy === "search" && html`<p class="empty" role="status">${t("passages.searching")}</p>`}
    ${found &&
    html`<${Results} ...${{ t, found, busy, lang }} onOpen=${setOpen} onMore=${more} />`}
    ${!found && busy !== "search" && !problem && html`<p class="empty">${t("passages.begin")}</p>`}
    ${open &&
    html`<${Detail} key=${open.id} ...${{ api, t, options }} row=${open} form=${form} onClose=${close} />`}
  </div>`;
}
