// Sounds made by WebAudio, one figure for each priority; a mute that ends by itself.
//
// A browser lets a page play only after the person has touched it: until then `blocked` is true and
// the shell shows a button for it.

const MUTED_UNTIL = "checkpoint.muted-until";
/** [frequency in Hz, start, length] of each tone; seconds. */
const FIGURES = {
  1: [
    [988, 0, 0.14], [740, 0.16, 0.14],
    [988, 0.36, 0.14], [740, 0.52, 0.14],
    [988, 0.72, 0.14], [740, 0.88, 0.2],
  ],
  2: [[784, 0, 0.16], [988, 0.2, 0.24]],
  3: [[659, 0, 0.2]],
  4: [],
  lost: [[392, 0, 0.25], [330, 0.3, 0.4]],
};
const LOUDNESS = { 1: 0.5, 2: 0.35, 3: 0.22, lost: 0.35 };

export class Sound {
  #context = null;
  #listeners = new Set();
  #last = null;

  constructor() {
    const Context = window.AudioContext;
    if (!Context) return;
    this.#context = new Context();
    this.#context.addEventListener("statechange", () => this.#tell());
    const wake = () => this.unblock();
    for (const event of ["pointerdown", "keydown"]) {
      document.addEventListener(event, wake, { capture: true, once: true });
    }
  }

  get available() {
    return this.#context !== null;
  }

  get blocked() {
    return this.available && this.#context.state !== "running";
  }

  /** Milliseconds since 1970 until which nothing is played; 0: not muted. */
  get mutedUntil() {
    const until = Number(localStorage.getItem(MUTED_UNTIL) ?? 0);
    return until > Date.now() ? until : 0;
  }

  /** What was played last, for whoever cannot hear it (and for tests): {figure, at}. */
  get last() {
    return this.#last;
  }

  unblock() {
    this.#context?.resume().then(() => this.#tell(), () => {});
  }

  mute(minutes) {
    localStorage.setItem(MUTED_UNTIL, String(Date.now() + minutes * 60_000));
    this.#tell();
  }

  unmute() {
    localStorage.removeItem(MUTED_UNTIL);
    this.#tell();
  }

  /** Play the figure of a priority (1 to 4) or "lost"; silent while muted or blocked. */
  play(figure) {
    const tones = FIGURES[figure] ?? [];
    if (!this.available || this.blocked || this.mutedUntil || tones.length === 0) return;
    this.#last = { figure, at: Date.now() };
    const start = this.#context.currentTime + 0.02;
    for (const [frequency, after, length] of tones) {
      this.#tone(frequency, start + after, length, LOUDNESS[figure]);
    }
  }

  /** Call `listener` whenever `blocked` or `mutedUntil` may have changed; returns how to stop. */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tone(frequency, at, length, loudness) {
    const oscillator = this.#context.createOscillator();
    const gain = this.#context.createGain();
    oscillator.type = "triangle";
    oscillator.frequency.value = frequency;
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(loudness, at + 0.015); // no click at either end
    gain.gain.setValueAtTime(loudness, at + length - 0.03);
    gain.gain.linearRampToValueAtTime(0, at + length);
    oscillator.connect(gain).connect(this.#context.destination);
    oscillator.start(at);
    oscillator.stop(at + length);
  }

  #tell() {
    for (const listener of this.#listeners) listener();
  }
}
