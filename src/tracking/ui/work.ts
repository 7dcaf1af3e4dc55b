import { useContext, useEffect, useState } from "preact/hooks";
import { ReportContext } from "./report.ts";

/** Does something when the component appears and whenever a key changes; it is cancelled when that is over. */
export function useWork(work: (signal: AbortSignal) => Promise<void>, keys: readonly unknown[]): void {
  const report = useContext(ReportContext);
  useEffect(() => {
    const controller = new AbortController();
    work(controller.signal).catch((error: unknown) => {
      if (!controller.signal.aborted) report(error);
    });
    return () => controller.abort();
  }, keys);
}

/** @returns a number that grows every `ms` while the page is seen and `active`: a key for what has to be read again */
export function useTicks(ms: number, active: boolean): number {
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
