import { runSweep, type SweepOptions, type SweepOutcome } from "../../experiments/tune.ts";
import { studySummary } from "../../tuning/summary.ts";
import { onInterrupt } from "../interrupt.ts";
import { invocation } from "../invocation.ts";
import { print, printJson, type Terminal } from "./terminal.ts";
import { tuningDisplay } from "./tuning-display.ts";

export interface DisplayedSweep {
  readonly sweep: Omit<SweepOptions, "signal">;
  readonly json: boolean;
}

/** Tunes, shows it, and lets Ctrl-C save and stop. */
export async function tuneWithDisplay(terminal: Terminal, { sweep, json }: DisplayedSweep): Promise<SweepOutcome> {
  using interrupt = onInterrupt(
    terminal,
    "the running trials save a checkpoint and stop … (Ctrl-C again: stop at once, without waiting)",
  );
  const display = tuningDisplay(terminal);
  const events = runSweep({ ...sweep, signal: interrupt.signal });
  try {
    for (;;) {
      const next = await events.next();
      if (!next.done) {
        const event = next.value;
        if (!json) display.onEvent(event);
        else if (event.type === "study") printJson(terminal, { type: "study", event: event.event });
        else printJson(terminal, event);
        continue;
      }
      const { studyId, end, study, best } = next.value;
      if (json) printJson(terminal, { type: "result", studyId, end, best: best ?? null, summary: studySummary(study) });
      else display.onOutcome(next.value);
      if (end === "interrupted" && !json)
        print(terminal, `stopped; go on with: ${invocation()} tune --resume ${studyId}`);
      return next.value;
    }
  } finally {
    display.stop();
  }
}
