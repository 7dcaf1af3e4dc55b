import { isMap, isScalar, isSeq, type Scalar, type YAMLMap } from "yaml";
import { PipelineError } from "../../base/errors.ts";
import { applyEdits, lineOf, parseYaml, rangeOf, type TextEdit } from "./text-edit.ts";
import { isThresholdName, type ThresholdName, thresholdNames, thresholdTable } from "./threshold-table.ts";

/** An alert as the file has it. */
export type AlertRule = {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly severity: string;
  readonly summary: string;
  readonly runbook_url: string;
};

/** The number after the last comparison of an expression. */
const lastNumber = /((?:>|<)=?\s*(?:bool\s+)?)(-?\d+(?:\.\d+)?)(\s*["']?\s*)$/;

/** A file of Prometheus rules whose thresholds can be read and changed; everything else stays as it is. */
export class RuleFile {
  readonly source: string;
  readonly #rules: readonly YAMLMap[];

  /** @throws CONFIG_INVALID */
  constructor(source: string) {
    this.source = source;
    const groups = parseYaml(source, "the rule file").get("groups");
    const items = isSeq(groups) ? groups.items.filter(isMap) : [];
    this.#rules = items.flatMap((group) => {
      const rules = group.get("rules");
      return isSeq(rules) ? rules.items.filter(isMap).filter((rule) => rule.has("alert")) : [];
    });
  }

  get alerts(): AlertRule[] {
    return this.#rules.map((rule) => ({
      alert: String(rule.get("alert")),
      expr: String(rule.get("expr")),
      for: String(rule.get("for") ?? "0s"),
      severity: String(rule.getIn(["labels", "severity"]) ?? ""),
      summary: String(rule.getIn(["annotations", "summary"]) ?? ""),
      // Its place in the project: where that can be read stands in prometheus.yml.
      runbook_url: String(rule.getIn(["annotations", "runbook_url"]) ?? "").replace(/\{\{[^}]*\}\}/g, ""),
    }));
  }

  /** Those that the file has: an alert that somebody took out has none. */
  get thresholds(): Partial<Record<ThresholdName, number>> {
    const found: Partial<Record<ThresholdName, number>> = {};
    for (const name of thresholdNames) {
      const expr = this.#expression(name);
      const number = expr === undefined ? undefined : lastNumber.exec(String(expr.value))?.[2];
      if (number !== undefined) found[name] = Number(number);
    }
    return found;
  }

  /** Where each threshold stands. */
  get sources(): Partial<Record<ThresholdName, { readonly alert: string; readonly line: number }>> {
    return Object.fromEntries(
      thresholdNames.flatMap((name) => {
        const expr = this.#expression(name);
        return expr === undefined
          ? []
          : [[name, { alert: thresholdTable[name].alert, line: lineOf(this.source, expr) }]];
      }),
    );
  }

  /** The text with other thresholds. @throws REQUEST_INVALID, CONFIG_INVALID when the file has no such threshold */
  withThresholds(thresholds: Readonly<Record<string, number>>): string {
    const edits = Object.entries(thresholds).map(([name, value]): TextEdit => {
      if (!isThresholdName(name)) {
        throw new PipelineError("REQUEST_INVALID", `there is no threshold ${name}`, {
          remedy: `there are: ${thresholdNames.join(", ")}`,
        });
      }
      const { min, max, unit } = thresholdTable[name];
      if (!(value >= min && value <= max)) {
        throw new PipelineError("REQUEST_INVALID", `${name} must be from ${min} to ${max} (${unit}), got ${value}`);
      }
      const scalar = this.#expression(name);
      const [start, end] = scalar === undefined ? [0, 0] : rangeOf(scalar);
      const text = this.source.slice(start, end);
      const match = lastNumber.exec(text);
      if (match === null) {
        throw new PipelineError(
          "CONFIG_INVALID",
          `the rule file has no alert ${thresholdTable[name].alert} that ends in a comparison with a number`,
          { remedy: "restore the alert, or change the file by hand" },
        );
      }
      const at = start + match.index + match[1]!.length;
      return { start: at, end: at + match[2]!.length, text: String(value) };
    });
    return applyEdits(this.source, edits);
  }

  #expression(name: ThresholdName): Scalar | undefined {
    const rule = this.#rules.find((each) => each.get("alert") === thresholdTable[name].alert);
    const expr = rule?.get("expr", true);
    return isScalar(expr) ? expr : undefined;
  }
}
