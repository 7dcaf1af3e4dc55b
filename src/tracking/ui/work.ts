import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { ReportContext } from "./report.ts";

/**
 * Does something when the component appears and whenever a key changes; it is cancelled when that is over.
 * What failed is reported until it succeeds.
 */
export function useWork(work: (signal: AbortSignal) => Promise<void>, keys: readonly unknown[]): void {
  const report = useContext(ReportContext);
  const owner = useRef(null);
  useEffect(() => {
    const controller = new AbortController();
    const tell = (error?: unknown) => {
      if (!controller.signal.aborted) report(error, owner);
    };
    work(controller.signal).then(() => tell(), tell);
    return () => controller.abort();
  }, keys);
  useEffect(() => () => report(undefined, owner), []);
}

interface Repetition {
  /** From the end of one time to the next. */
  readonly ms: number;
  readonly active: boolean;
}

/** Work that is done again while `active`; each time waits for the end of the one before, however long that takes. */
export function useRepeatedWork(
  work: (signal: AbortSignal) => Promise<void>,
  keys: readonly unknown[],
  { ms, active }: Repetition,
): void {
  const [working, setWorking] = useState(true);
  const ticks = useTicks(ms, active && !working);
  useWork(
    async (signal) => {
      setWorking(true);
      await work(signal).finally(() => {
        if (!signal.aborted) setWorking(false);
      });
    },
    [...keys, ticks],
  );
}

/** @returns a number that grows every `ms` while the page is seen and `active`: a key for what has to be read again */
function useTicks(ms: number, active: boolean): number {
  const [ticks, setTicks] = useState(0);
  useEffect(() => {
    if (!active) return;
    const timer = setInterval(() => {
      if (!document.hidden) setTicks((count) => count + 1);
    }, ms);
    return () => clearInterval(timer);
  }, [ms, active]);
  return ticks;
}

/** A value as it was when it last stood still for so long. */
export function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
