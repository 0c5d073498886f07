// The form with which an alert is confirmed, rejected or escalated: a few keys, or a few clicks.

import { html, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";
import { isTyping } from "/static/hooks.js";

/** What is offered, as keys of words; one of them or a note is needed where `needed`. */
export const CHOICES = {
  confirmed: {
    outcomes: ["stopped", "handed_over", "let_pass", "got_away"],
    reasons: [],
    needed: false,
  },
  rejected: {
    outcomes: [],
    reasons: ["misread", "other_vehicle", "other_province", "out_of_date", "test"],
    needed: true,
  },
  escalated: {
    outcomes: [],
    reasons: ["unsure", "dangerous", "need_help", "cannot_stop"],
    needed: true,
  },
};
const LONGEST_NOTE = 1000;

/** `onDecide({note, outcome})` returns a promise; `onCancel()` closes the form. */
export function DecisionForm({ t, decision, onDecide, onCancel }) {
  const { reasons, outcomes, needed } = CHOICES[decision];
  const [choice, setChoice] = useState(null);
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const form = useRef(null);
  const choices = reasons.length ? reasons : outcomes;
  const words = (one) => t(`feed.choice.${one}`);

  // Before the next key arrives, however busy the machine is: that key is meant for this form.
  useLayoutEffect(() => {
    form.current.querySelector("input")?.focus();
  }, [decision]);

  async function decide(event) {
    event?.preventDefault();
    if (busy) return;
    const text = note.trim();
    if (needed && !choice && !text) {
      setProblem(t("feed.reason_needed"));
      return;
    }
    const reason = choice && reasons.includes(choice) ? words(choice) : "";
    const outcome = choice && outcomes.includes(choice) ? words(choice) : "";
    setBusy(true);
    setProblem(null);
    try {
      await onDecide({ note: [reason, text].filter(Boolean).join(t("feed.colon")), outcome });
    } catch (error) {
      setProblem(error.status === 0 ? t("error.unreachable") : error.message);
      setBusy(false);
    }
  }

  function onKeyDown(event) {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      onCancel();
    } else if (event.key === "Enter" && event.target.tagName !== "BUTTON" && !event.isComposing) {
      event.preventDefault();
      decide();
    } else if (!isTyping(event) && /^[1-9]$/.test(event.key) && choices[event.key - 1]) {
      event.preventDefault();
      setChoice(choices[event.key - 1]);
    }
    if (!isTyping(event)) event.stopPropagation(); // no other key of the page means anything here
  }

  return html`<form
    class="decide decide--${decision}"
    ref=${form}
    onSubmit=${decide}
    onKeyDown=${onKeyDown}
    aria-label=${t(`feed.do.${decision}`)}
  >
    <fieldset>
      <legend>${t(reasons.length ? "feed.reason" : "feed.outcome")}</legend>
      <div class="row">
        ${choices.map(
          (one, number) => html`<label class="choice" key=${one}>
            <input
              type="radio"
              name="choice"
              checked=${choice === one}
              onChange=${() => setChoice(one)}
            />
            <span>${words(one)}</span> <kbd class="kbd" aria-hidden="true">${number + 1}</kbd>
          </label>`,
        )}
      </div>
    </fieldset>
    <div class="field">
      <label for="note">${t("feed.note")}</label>
      <input
        id="note"
        maxlength=${LONGEST_NOTE}
        value=${note}
        autocomplete="off"
        aria-describedby="note-problem"
        aria-invalid=${String(problem !== null)}
        onInput=${(event) => setNote(event.target.value)}
      />
    </div>
    <p class="field__error" id="note-problem" role="alert">${problem}</p>
    <div class="row">
      <button
        class="button button--${{ confirmed: "ok", rejected: "danger", escalated: "primary" }[decision]}"
        disabled=${busy}
      >
        ${t(`feed.do.${decision}`)} <kbd aria-hidden="true">↵</kbd>
      </button>
      <button type="button" class="button" onClick=${onCancel}>
        ${t("action.cancel")} <kbd aria-hidden="true">Esc</kbd>
      </button>
    </div>
  </form>`;
}
