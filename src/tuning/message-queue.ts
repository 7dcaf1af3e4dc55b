/** Messages from many senders to one reader. */
export interface MessageQueue<T> {
  push(message: T): void;
  /** The next message, or undefined when none comes within `timeoutMs`. */
  next(timeoutMs: number): Promise<T | undefined>;
}

export function messageQueue<T>(): MessageQueue<T> {
  const waiting: T[] = [];
  let wake: (() => void) | undefined;
  return {
    push(message) {
      waiting.push(message);
      wake?.();
    },
    async next(timeoutMs) {
      if (waiting.length === 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeoutMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
        wake = undefined;
      }
      return waiting.shift();
    },
  };
}
