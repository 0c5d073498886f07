// Whether picture and entry have both been on screen: only then may an alert be confirmed.

import { useCallback, useEffect, useRef, useState } from "/static/vendor/htm-preact.js";

const SHARE = 0.5; // of the element, or of the window where the element is larger

/**
 * `key`: what is looked at; another one begins anew. Returns {seen: {picture, entry}, refs,
 * pictureReady}: give `refs.picture` and `refs.entry` to the elements, and call `pictureReady()`
 * when the picture has been drawn, or when the words are there that say there is none.
 */
export function useSeen(key) {
  const [state, setState] = useState({ key, picture: false, entry: false });
  const [ready, setReady] = useState(null); // the key whose picture is drawn
  const elements = { picture: useRef(null), entry: useRef(null) };
  const visible = useRef({ picture: false, entry: false });
  const now = state.key === key ? state : { key, picture: false, entry: false };

  const note = useCallback(() => {
    if (document.visibilityState !== "visible") return;
    const picture = visible.current.picture && ready === key;
    const entry = visible.current.entry;
    setState((before) => {
      const base = before.key === key ? before : { key, picture: false, entry: false };
      if (base === before && (base.picture || !picture) && (base.entry || !entry)) return before;
      return { key, picture: base.picture || picture, entry: base.entry || entry };
    });
  }, [key, ready]);

  useEffect(() => {
    visible.current = { picture: false, entry: false };
    const observer = new IntersectionObserver(
      (changes) => {
        for (const change of changes) {
          const which = change.target === elements.picture.current ? "picture" : "entry";
          const { height } = change.intersectionRect;
          const whole = Math.min(change.boundingClientRect.height, change.rootBounds?.height ?? Infinity);
          visible.current[which] = change.isIntersecting && height >= whole * SHARE;
        }
        note();
      },
      { threshold: [0, 0.1, 0.25, SHARE, 0.75, 1] },
    );
    for (const element of [elements.picture.current, elements.entry.current]) {
      if (element) observer.observe(element);
    }
    document.addEventListener("visibilitychange", note);
    return () => {
      observer.disconnect();
      document.removeEventListener("visibilitychange", note);
    };
  }, [note]);

  return {
    seen: { picture: now.picture, entry: now.entry },
    refs: elements,
    pictureReady: useCallback(() => setReady(key), [key]),
  };
}
