// The console's shell: who is signed in, which page is shown, and the feed that all pages hear.

import { html, render, useCallback, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { Api } from "/static/api.js";
import { ring } from "/static/feed/announce.js";
import { Feed } from "/static/feed/feed.js";
import { isTyping, useListen } from "/static/hooks.js";
import { loadWords, storedLanguage, storeLanguage, translator } from "/static/i18n.js";
import Login from "/static/login.js";
import { Banners, Bar, HelpDialog } from "/static/shell.js";
import { Sound } from "/static/sound.js";

/** `roles`: who sees the page; null: everybody. `words`: of `i18n/WORDS.{zh,en}.js`. */
const PAGES = [
  { path: "feed", roles: null, words: ["feed"], load: () => import("/static/feed/page.js") },
  { path: "cameras", roles: null, words: ["cameras"], load: () => import("/static/cameras.js") },
  { path: "passages", roles: ["viewer", "editor", "approver"], words: ["passages"], load: () => import("/static/passages.js") },
  { path: "watchlist", roles: null, words: ["watchlist"], load: () => import("/static/watchlist.js") },
  { path: "figures", roles: null, words: ["figures"], load: () => import("/static/figures.js") },
];
const THEME = "checkpoint.theme";
const sound = new Sound();

/** "#/feed/abc" as ["feed", "abc"]. */
function currentRoute() {
  const [path = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  return [path || PAGES[0].path, rest.map(decodeURIComponent).join("/") || null];
}

function storedTheme() {
  const stored = localStorage.getItem(THEME);
  if (stored === "dark" || stored === "light") return stored;
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

function App() {
  const [lang, setLang] = useState(storedLanguage());
  const [theme, setTheme] = useState(storedTheme());
  const [me, setMe] = useState(undefined); // undefined: not asked yet; null: signed out
  const [reason, setReason] = useState(null);
  const [failure, setFailure] = useState(null);
  const [feed, setFeed] = useState(null);
  const api = useRef(null);
  const t = translator(lang);

  if (api.current === null) {
    api.current = new Api(() => {
      setReason("login.expired");
      setMe(null);
    });
  }

  useEffect(() => {
    storeLanguage(lang);
    document.title = t("app.name");
  }, [lang]);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);

  const enter = useCallback(async () => {
    setFailure(null);
    try {
      const found = await api.current.get("/api/me", {}, { quiet: true });
      api.current.csrf = found.csrf;
      setMe(found);
      setReason(null);
    } catch (error) {
      if (error.status === 401) {
        setMe(null);
        if (currentRoute()[0] === "login") setReason("login.code");
      }
      else setFailure(error);
    }
  }, []);
  useEffect(() => {
    enter();
  }, []);

  useEffect(() => {
    if (!me) {
      setFeed(null);
      return undefined;
    }
    const started = new Feed(api.current);
    started.start();
    setFeed(started);
    const silence = ring(started, sound);
    return () => {
      silence();
      started.stop();
    };
  }, [me?.csrf]);

  async function signOut() {
    await api.current.post("/api/logout", {}, { quiet: true }).catch(() => {});
    setReason("login.signed_out");
    setMe(null);
  }

  const chooseTheme = (name) => {
    localStorage.setItem(THEME, name);
    setTheme(name);
  };

  if (me === null) {
    return html`<${Login} api=${api.current} ...${{ t, lang, setLang, reason }} onSignedIn=${enter} />`;
  }
  if (failure) {
    return html`<main class="login"><div class="card login__card">
      <p class="error" role="alert">
        ${failure.status === 0 ? t("error.unreachable") : failure.message}
      </p>
      <button class="button" onClick=${enter}>${t("shell.retry")}</button>
    </div></main>`;
  }
  if (!me || !feed) return html`<p class="empty" role="status">${t("shell.loading")}</p>`;
  return html`<${Shell}
    api=${api.current}
    ...${{ me, feed, t, lang, setLang, theme, signOut }}
    setTheme=${chooseTheme}
  />`;
}

function Shell({ api, me, feed, t, lang, setLang, theme, setTheme, signOut }) {
  const [[path, rest], setRoute] = useState(currentRoute());
  const [page, setPage] = useState(null); // {path, module} | {path, error}
  const [tries, setTries] = useState(0);
  const [help, setHelp] = useState(false);
  const main = useRef(null);
  useListen(sound);

  const pages = PAGES.filter(
    (one) => one.roles === null || one.roles.some((role) => me.roles.includes(role)),
  );
  const wanted = pages.find((one) => one.path === path);

  useEffect(() => {
    const follow = () => setRoute(currentRoute());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);

  useEffect(() => {
    let current = true;
    if (!wanted) return undefined;
    Promise.all([wanted.load(), ...wanted.words.map(loadWords)]).then(
      ([module]) => current && setPage({ path, module }),
      (error) => current && setPage({ path, error }),
    );
    return () => {
      current = false;
    };
  }, [path, tries]);

  useEffect(() => {
    const urgent = feed.undecided().length;
    document.title = `${urgent ? `(${urgent}) ` : ""}${t(`nav.${path}`)} · ${t("app.name")}`;
  });

  useEffect(() => {
    const open = (event) => {
      if (event.key === "?" && !isTyping(event) && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        setHelp(true);
      }
    };
    addEventListener("keydown", open);
    return () => removeEventListener("keydown", open);
  }, []);

  const shown = page?.path === path ? page : null;
  const closeHelp = useCallback(() => setHelp(false), []);
  return html`<div class="shell">
    <div>
      <a
        class="skip"
        href="#main"
        onClick=${(event) => {
          event.preventDefault();
          main.current.focus();
        }}
        >${t("shell.skip")}</a
      >
      <${Bar}
        ...${{ pages, path, me, feed, sound, t, lang, setLang, theme, setTheme, signOut }}
        onHelp=${() => setHelp(true)}
      />
    </div>
    <${Banners} ...${{ feed, me, t, signOut }} />
    <main class="shell__main" id="main" tabindex="-1" ref=${main}>
      ${!wanted
        ? html`<p class="empty">${t("shell.no_page")}</p>`
        : shown?.module
          ? html`<${shown.module.default} key=${path} ...${{ api, me, t, lang, feed, sound, rest }} />`
          : shown?.error
            ? html`<div class="page">
                <p class="error" role="alert">
                  ${t("shell.failed", { message: shown.error.message })}
                </p>
                <button class="button" onClick=${() => setTries(tries + 1)}>
                  ${t("shell.retry")}
                </button>
              </div>`
            : html`<p class="empty" role="status">${t("shell.loading")}</p>`}
    </main>
    <${HelpDialog} open=${help} onClose=${closeHelp} keys=${shown?.module?.keys ?? []} t=${t} />
  </div>`;
}

document.documentElement.dataset.theme = storedTheme();
const opened = PAGES.find((page) => page.path === currentRoute()[0]);
if (opened) {
  // Ahead of time, beside the question who is signed in; what fails is said where it is needed.
  Promise.all([opened.load(), ...opened.words.map(loadWords)]).catch(() => {});
}
await loadWords("");
render(html`<${App} />`, document.getElementById("app"));
