/**
 * Calls back again and again. `overslept` is the time for which this process itself could do nothing, being stopped or
 * starved: what others did in it can't be held against them.
 */
export function startPulse(intervalMs: number, onPulse: (overslept: number) => void): Disposable {
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const overslept = Math.max(0, now - last - intervalMs);
    last = now;
    onPulse(overslept);
  }, intervalMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
