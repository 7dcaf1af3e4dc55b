import { Presets, SingleBar } from "cli-progress";
import type { DataProgress } from "../../data/progress.ts";
import { bytes, count } from "./format.ts";
import { note, type Terminal } from "./terminal.ts";

/** One running activity: a bar on a screen, else a line now and then. */
export interface Progress {
  /** `text` follows the bar, or is the whole line. */
  update(done: number, total: number, text: string): void;
  /** Takes the bar away. */
  stop(): void;
}

/** Lines where there is no screen: the first at once, then at this distance. */
const lineIntervalMs = 5000;

export function startProgress(terminal: Terminal, title: string): Progress {
  if (!terminal.interactive) {
    let last = Number.NEGATIVE_INFINITY;
    return {
      update(_done, _total, text) {
        if (performance.now() - last < lineIntervalMs) return;
        last = performance.now();
        note(terminal, `${title}  ${text}`);
      },
      stop: () => undefined,
    };
  }
  let bar: SingleBar | undefined;
  return {
    update(done, total, text) {
      if (bar === undefined) {
        bar = new SingleBar(
          {
            format: `${title} {bar} {percentage}%  {text}`,
            stream: terminal.err,
            barsize: 24,
            hideCursor: true,
            clearOnComplete: true,
            fps: 10,
          },
          Presets.shades_classic,
        );
        bar.start(total, done, { text });
      } else {
        bar.update(done, { text });
      }
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}

const stages = {
  download: "downloading",
  unpack: "unpacking",
  decode: "reading images",
  features: "computing features",
} as const;

/** Shows downloads and unpacking. */
export interface DataDisplay {
  readonly onProgress: (progress: DataProgress) => void;
  readonly stop: () => void;
}

export function dataDisplay(terminal: Terminal): DataDisplay {
  let current: { readonly stage: DataProgress["stage"]; readonly progress: Progress } | undefined;
  return {
    onProgress({ stage, done, total }) {
      if (current?.stage !== stage) {
        current?.progress.stop();
        current = { stage, progress: startProgress(terminal, stages[stage]) };
      }
      const show = stage === "decode" || stage === "features" ? count : bytes;
      const text = total === undefined ? show(done) : `${show(done)} of ${show(total)}`;
      current.progress.update(done, total ?? Math.max(1, done), text);
    },
    stop() {
      current?.progress.stop();
      current = undefined;
    },
  };
}
