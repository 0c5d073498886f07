// Small hooks that several pages use.

import { useEffect, useRef, useState } from "/static/vendor/htm-preact.js";

/** Render again every `ms` milliseconds; returns the time now, milliseconds since 1970. */
export function useTick(ms) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return now;
}

/** Render again whenever `source.listen` tells of a change. */
export function useListen(source) {
  const [, setCount] = useState(0);
  useEffect(() => source.listen(() => setCount((count) => count + 1)), [source]);
}

/** Call `load(signal)` at once, then every `ms` after the last answer; {data, error, again}. */
export function usePolling(load, ms, dependencies = []) {
  const [state, setState] = useState({ data: null, error: null, at: 0 });
  const again = useRef(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let timer = null;
    async function once() {
      clearTimeout(timer);
      try {
        const data = await load(stop.signal);
        if (!stop.signal.aborted) setState({ data, error: null, at: Date.now() });
      } catch (error) {
        if (!stop.signal.aborted) setState((before) => ({ ...before, error }));
      }
      if (!stop.signal.aborted) timer = setTimeout(once, ms);
    }
    again.current = once;
    once();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [ms, ...dependencies]);
  return { ...state, again: () => again.current() };
}

/** Open a <dialog> as a modal while `open`; `onClose` after Escape or close(). */
export function useModal(open, onClose) {
  const dialog = useRef(null);
  useEffect(() => {
    const element = dialog.current;
    if (!element) return undefined;
    if (open && !element.open) element.showModal();
    if (!open && element.open) element.close();
    element.addEventListener("close", onClose);
    return () => element.removeEventListener("close", onClose);
  }, [open, onClose]);
  return dialog;
}

/** Whether a key press belongs to a field that is being filled in, or carries a modifier. */
export function isTyping(event) {
  return (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.isComposing ||
    event.target.closest?.("input:not([type=checkbox],[type=radio]), select, textarea") != null
  );
}
