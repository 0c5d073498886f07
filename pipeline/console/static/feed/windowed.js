// A list of which only what can be seen is in the page. Rows have fixed heights, so the place of
// each is a sum, and ten thousand of them scroll like ten.

import { html, useEffect, useLayoutEffect, useRef, useState } from "/static/vendor/htm-preact.js";

const BEYOND = 4; // rows kept above and below what can be seen

/**
 * `items`: [{key, height}] with heights in pixels; `children(item, style)` draws one at its place.
 * What the reader looks at stays where it is while items come and go above it, unless the list is
 * at its top. `reveal`: {key}, an object that is new whenever that item is to be scrolled to.
 */
export function Windowed({ items, children, reveal, onTop, scroller, ...attributes }) {
  const own = useRef(null);
  const element = scroller ?? own;
  const [view, setView] = useState({ top: 0, height: 800 });
  const held = useRef([]); // [key, top] of what is in view; empty while the list is at its top

  const tops = new Float64Array(items.length + 1);
  for (let place = 0; place < items.length; place += 1) {
    tops[place + 1] = tops[place] + items[place].height;
  }

  function look() {
    const { scrollTop, clientHeight } = element.current;
    held.current = scrollTop <= 1 ? [] : inView(scrollTop, clientHeight);
    setView((before) =>
      before.top === scrollTop && before.height === clientHeight
        ? before
        : { top: scrollTop, height: clientHeight },
    );
    onTop?.(scrollTop <= 1);
  }

  function inView(top, height) {
    const first = find(tops, top);
    const last = find(tops, top + height);
    return items.slice(first, last + 1).map((item, place) => [item.key, tops[first + place]]);
  }

  useEffect(() => {
    const observer = new ResizeObserver(look);
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (held.current.length === 0) return;
    const place = new Map(items.map((item, number) => [item.key, number]));
    const shifts = held.current
      .filter(([key]) => place.has(key))
      .map(([key, top]) => tops[place.get(key)] - top)
      .sort((one, other) => one - other);
    // Most of what is in view has been moved so far; a row that was decided has gone elsewhere.
    const shift = shifts[shifts.length >> 1] ?? 0;
    if (Math.abs(shift) > 1) element.current.scrollTop += shift;
    const { scrollTop, clientHeight } = element.current;
    held.current = inView(scrollTop, clientHeight);
  }, [items]);

  useLayoutEffect(() => {
    if (!reveal) return;
    const place = items.findIndex((item) => item.key === reveal.key);
    if (place < 0) return;
    const list = element.current;
    if (tops[place] < list.scrollTop) list.scrollTop = tops[place] - (items[place - 1]?.sticky ? items[place - 1].height : 0);
    else if (tops[place + 1] > list.scrollTop + list.clientHeight) {
      list.scrollTop = tops[place + 1] - list.clientHeight;
    }
  }, [reveal]);

  const from = Math.max(0, find(tops, view.top) - BEYOND);
  const to = Math.min(items.length, find(tops, view.top + view.height) + 1 + BEYOND);
  return html`<div ref=${element} onScroll=${look} ...${attributes}>
    <div role="presentation" style=${{ height: `${tops[items.length]}px`, position: "relative" }}>
      ${items.slice(from, to).map((item, place) =>
        children(item, {
          position: "absolute",
          top: `${tops[from + place]}px`,
          left: 0,
          right: 0,
          height: `${item.height}px`,
        }),
      )}
    </div>
  </div>`;
}

/** The item at a height: the largest place whose top is not below it. */
export function find(tops, height) {
  let low = 0;
  let high = Math.max(0, tops.length - 2);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle] <= height) low = middle;
    else high = middle - 1;
  }
  return low;
}
