// Signing in: a token, or the way that this machine's configuration allows.

import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { LANGUAGES } from "/static/i18n.js";

/** `reason`: key of a sentence that says why one has to sign in (again), or null. */
export default function Login({ api, t, lang, setLang, onSignedIn, reason }) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = useRef(null);

  useEffect(() => field.current.focus(), []);

  async function signIn(event) {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await api.post("/api/login", { token: token.trim() }, { quiet: true });
      setToken("");
      await onSignedIn();
    } catch (error) {
      setProblem(error.status === 0 ? t("error.unreachable") : told(error, t));
      field.current?.focus();
      field.current?.select();
    } finally {
      setBusy(false);
    }
  }

  return html`<main class="login">
    <form class="card login__card" onSubmit=${signIn}>
      <div class="login__brand">
        <img src="/static/icon.svg" alt="" />
        <div>
          <h1>${t("app.name")}</h1>
          <p class="muted">${t("login.title")}</p>
        </div>
      </div>
      ${reason && html`<p class="warning" role="status">${t(reason)}</p>`}
      <div class="field">
        <label for="token">${t("login.token")}</label>
        <input
          id="token"
          ref=${field}
          type="password"
          autocomplete="current-password"
          spellcheck=${false}
          value=${token}
          onInput=${(event) => setToken(event.target.value)}
          aria-invalid=${problem !== null}
          aria-describedby="token-hint token-error"
          required
        />
        <span class="field__hint" id="token-hint">${t("login.hint")}</span>
        <span class="field__error" id="token-error" role="alert">${problem}</span>
      </div>
      <button class="button button--primary" disabled=${busy || !token.trim()}>
        ${busy ? t("login.busy") : t("login.submit")}
      </button>
      <div class="row" role="group" aria-label=${t("shell.language")}>
        ${Object.entries(LANGUAGES).map(
          ([key, name]) => html`<button
            type="button"
            class="button button--quiet button--small"
            lang=${key}
            aria-pressed=${key === lang}
            onClick=${() => setLang(key)}
          >
            ${name}
          </button>`,
        )}
      </div>
    </form>
  </main>`;
}

function told(error, t) {
  if (error.status === 401 || error.status === 403) return t("login.refused");
  if (error.status === 429) return t("login.too_many");
  return error.message || t("error.unknown");
}
