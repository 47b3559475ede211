// Asking again and again, as long as somebody looks.

const BACK_OFF_MAX_S = 30;

export class Poll {
  /**
   * @param {(signal: AbortSignal) => Promise<number|void>} run may tell after how many seconds, at least, it is to be done again.
   * @param {number} everyS seconds between the end of one and the next.
   * @param {(error: Error|null) => void} [told] how it went.
   */
  constructor(run, everyS, told = () => {}) {
    this._run = run;
    this._everyS = everyS;
    this._told = told;
    this._failures = 0;
    this._timer = 0;
    this._control = new AbortController();
    this._seen = () => !document.hidden && this.now();
    document.addEventListener("visibilitychange", this._seen);
    addEventListener("online", this._seen);
    this._again = false;
    this._running = false;
    this.now();
  }

  /** Ask at once, or as soon as what is under way has ended. */
  async now() {
    clearTimeout(this._timer);
    if (this._running) {
      this._again = true;
      return;
    }
    this._running = true;
    let pause = this._everyS;
    try {
      pause = Math.max(pause, (await this._run(this._control.signal)) ?? 0);
      this._failures = 0;
      if (!this._control.signal.aborted) this._told(null);
    } catch (error) {
      if (error.name !== "AbortError" && !this._control.signal.aborted) {
        this._failures += 1;
        pause = Math.max(error.retryAfter ?? 0, Math.min(BACK_OFF_MAX_S, this._everyS * 2 ** this._failures));
        this._told(error);
      }
    }
    this._running = false;
    if (this._control.signal.aborted) return;
    if (this._again) {
      this._again = false;
      this.now();
    } else if (!document.hidden) {
      this._timer = setTimeout(() => this.now(), pause * 1000);
    }
  }

  stop() {
    clearTimeout(this._timer);
    this._control.abort();
    document.removeEventListener("visibilitychange", this._seen);
    removeEventListener("online", this._seen);
  }
}

/** Do something for each of many, a few at a time. */
export async function each(many, atOnce, work) {
  const waiting = [...many];
  const worker = async () => {
    while (waiting.length) await work(waiting.shift());
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, worker));
}
