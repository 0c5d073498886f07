// The bar above every page, the banners below it, and the help.

import { html, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { clock, countdown, duration, plain } from "/static/format.js";
import { useListen, useModal, useTick } from "/static/hooks.js";
import { LANGUAGES } from "/static/i18n.js";

const MUTES_MIN = [5, 15, 30];
const SESSION_WARNING_S = 15 * 60;

/** Name, pages, and the tools at the right. */
export function Bar(props) {
  const { pages, path, me, feed, sound, t, lang, setLang, theme, setTheme, signOut, onHelp } = props;
  useListen(feed);
  const urgent = feed.undecided().length;
  const other = theme === "dark" ? "light" : "dark";
  const roles = me.roles.map((role) => t.name("role", role)).join(", ");
  return html`<header class="shell__bar">
    <div class="shell__name">
      <strong>${t("app.name")}</strong>
      <span title=${me.checkpoint}>${me.checkpoint}</span>
    </div>
    <nav class="shell__nav" aria-label=${t("nav.label")}>
      ${pages.map(
        (page) => html`<a
          href=${`#/${page.path}`}
          aria-current=${page.path === path ? "page" : undefined}
          key=${page.path}
        >
          ${t(`nav.${page.path}`)}
          ${page.path === "feed" &&
          urgent > 0 &&
          html`<span class="badge badge--danger">
            <span aria-hidden="true">${urgent}</span>
            <span class="visually-hidden">${t("nav.undecided", { n: urgent })}</span>
          </span>`}
        </a>`,
      )}
    </nav>
    <div class="shell__tools" role="group" aria-label=${t("shell.tools")}>
      <${LinkState} feed=${feed} t=${t} />
      <${SoundButton} sound=${sound} t=${t} />
      <div class="row" role="group" aria-label=${t("shell.language")}>
        ${Object.entries(LANGUAGES).map(
          ([key, name]) => html`<button
            key=${key}
            class="button button--small"
            lang=${key}
            aria-pressed=${String(key === lang)}
            onClick=${() => setLang(key)}
          >
            ${name}
          </button>`,
        )}
      </div>
      <button
        class="button button--small"
        onClick=${() => setTheme(other)}
        title=${t("shell.theme.switch", { name: t(`shell.theme.${other}`) })}
      >
        ${t(`shell.theme.${theme}`)}
      </button>
      <button class="button button--small" onClick=${onHelp} title=${t("shell.help.key")}>
        ${t("shell.help")} <kbd aria-hidden="true">?</kbd>
      </button>
      <span class="muted nowrap" title=${roles}>${me.person}</span>
      <button class="button button--small" onClick=${signOut}>${t("shell.sign_out")}</button>
    </div>
  </header>`;
}

/** A clock that runs and the age of the last event, so that a dead page is noticed. */
function LinkState({ feed, t }) {
  const now = useTick(1000);
  const { status, lastEventAt } = feed.link;
  const kind = { live: "ok", lost: "danger" }[status] ?? "warn";
  const shape = { live: "●", lost: "✕" }[status] ?? "◌";
  return html`<span class="link">
    <span class="badge badge--${kind}" data-link=${status}>
      <span aria-hidden="true">${shape}</span> ${t(`link.${status}`)}
    </span>
    <span class="link__text">
      <time class="link__clock" aria-label=${t("link.clock")}>${clock(now)}</time>
      <span class="muted">
        ${lastEventAt
          ? t("link.last", { ago: duration((now - lastEventAt) / 1000, t) })
          : t("link.none")}
      </span>
    </span>
  </span>`;
}

/** Drawn: a font that has such signs is not on every machine. */
const Speaker = ({ crossed = false }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
    <path d="M3 9v6h4l6 5V4L7 9z" fill="currentColor" />
    <path
      d=${crossed ? "M16 9l6 6M22 9l-6 6" : "M16 8a5.5 5.5 0 0 1 0 8M19 5a9.5 9.5 0 0 1 0 14"}
      fill="none"
      stroke="currentColor"
      stroke-width="2"
      stroke-linecap="round"
    />
  </svg>`;

function SoundButton({ sound, t }) {
  useListen(sound);
  useTick(1000);
  const [open, setOpen] = useState(false);
  const root = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const away = (event) => {
      const left = event.type === "keydown" ? event.key === "Escape" : !root.current.contains(event.target);
      if (left) setOpen(false);
    };
    addEventListener("pointerdown", away);
    addEventListener("keydown", away);
    return () => {
      removeEventListener("pointerdown", away);
      removeEventListener("keydown", away);
    };
  }, [open]);

  if (!sound.available) return html`<span class="badge badge--warn">${t("sound.none")}</span>`;
  if (sound.blocked) {
    return html`<button
      class="button button--small button--danger"
      title=${t("sound.blocked.why")}
      onClick=${() => sound.unblock()}
    >
      <${Speaker} crossed /> ${t("sound.blocked")}
    </button>`;
  }
  const until = sound.mutedUntil;
  if (until) {
    const left = countdown((until - Date.now()) / 1000);
    return html`<button
      class="button button--small sound--muted"
      title=${t("sound.unmute")}
      onClick=${() => sound.unmute()}
    >
      <${Speaker} crossed /> ${t("sound.muted", { left })}
    </button>`;
  }
  const choose = (minutes) => {
    sound.mute(minutes);
    setOpen(false);
  };
  return html`<span class="menu" ref=${root}>
    <button class="button button--small" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
      <${Speaker} /> ${t("sound.on")}
    </button>
    ${open &&
    html`<span class="menu__items" role="group" aria-label=${t("sound.mute")}>
      ${MUTES_MIN.map(
        (minutes) => html`<button class="button" key=${minutes} onClick=${() => choose(minutes)}>
          ${t("sound.mute.for", { n: minutes })}
        </button>`,
      )}
      <button class="button" onClick=${() => sound.play(1)}>${t("sound.test")}</button>
    </span>`}
  </span>`;
}

/**
 * What everybody must know, on whichever page: a lost connection, a session about to end. Screen
 * readers are told once, not each second that is counted.
 */
export function Banners({ feed, me, t, signOut }) {
  useListen(feed);
  const now = useTick(1000);
  const { status, lostAt, replaced, problem } = feed.link;
  const left_s = (new Date(me.expires_at).getTime() - now) / 1000;
  return html`<div>
    ${status === "lost" &&
    html`<div class="banner banner--danger">
      <span class="visually-hidden" role="alert">${t("link.lost.said")}</span>
      <span aria-hidden="true">
        ✕ ${t("link.banner", { ago: duration((now - lostAt) / 1000, t) })} ${plain(problem)}
      </span>
      <button class="button" onClick=${() => feed.reconnect()}>${t("link.now")}</button>
    </div>`}
    ${replaced &&
    html`<div class="banner banner--warn" role="alert">
      <span>${t("link.replaced")}</span>
      <button class="button" onClick=${() => feed.dismissReplaced()}>${t("action.close")}</button>
    </div>`}
    ${left_s < SESSION_WARNING_S &&
    html`<div class="banner banner--warn">
      <span class="visually-hidden" role="status">${t("session.ends.said")}</span>
      <span aria-hidden="true">${t("session.ends", { left: countdown(left_s) })}</span>
      <button class="button" onClick=${signOut}>${t("session.renew")}</button>
    </div>`}
  </div>`;
}

/** The keys of the page that is shown, and those of every page. */
export function HelpDialog({ open, onClose, keys, t }) {
  const dialog = useModal(open, onClose);
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="help-title">
    <h2 id="help-title">${t("help.title")}</h2>
    <table class="table">
      <thead>
        <tr>
          <th scope="col">${t("help.key")}</th>
          <th scope="col">${t("help.does")}</th>
        </tr>
      </thead>
      <tbody>
        ${[...keys, ["?", "shell.help"]].map(
          ([key, words]) => html`<tr key=${words}>
            <td>${key.split(" ").map((one) => html`<kbd class="kbd">${one}</kbd> `)}</td>
            <td>${t(words)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
    <div class="dialog__actions">
      <button class="button" onClick=${() => dialog.current.close()}>${t("help.close")}</button>
    </div>
  </dialog>`;
}
