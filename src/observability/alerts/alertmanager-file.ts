import { type Document, isMap, isScalar, isSeq, type Scalar, type YAMLMap } from "yaml";
import { PipelineError } from "../../base/errors.ts";
import { applyEdits, lineOf, parseYaml, rangeOf, type TextEdit } from "./text-edit.ts";

export type Recipients = Readonly<Record<string, readonly string[]>>;

/** How mail leaves, without secrets. */
export type SmtpSettings = {
  readonly smarthost: string | null;
  readonly from: string | null;
  readonly require_tls: boolean;
  readonly authenticated: boolean;
};

const severityMatcher = /^\s*severity\s*=\s*"?([a-z]+)"?\s*$/;

/** Gets every test alert, whatever its severity. */
const testReceiver = "email-test";

/** Alertmanager's configuration, whose recipients can be read and changed; everything else stays as it is. */
export class AlertmanagerFile {
  readonly source: string;
  readonly #document: Document.Parsed;

  /** @throws CONFIG_INVALID */
  constructor(source: string) {
    this.source = source;
    this.#document = parseYaml(source, "the Alertmanager configuration");
  }

  /** By the severity that a route matches. */
  get recipients(): Recipients {
    return Object.fromEntries(
      [...this.#receivers()].map(([severity, receiver]) => [severity, this.#addresses(receiver).flatMap(split)]),
    );
  }

  /** Where the recipients of each severity stand. */
  get sources(): Readonly<Record<string, { readonly receiver: string; readonly lines: readonly number[] }>> {
    return Object.fromEntries(
      [...this.#receivers()].map(([severity, receiver]) => [
        severity,
        { receiver, lines: this.#addresses(receiver).map((scalar) => lineOf(this.source, scalar)) },
      ]),
    );
  }

  get smtp(): SmtpSettings {
    const global = (key: string): unknown => this.#document.getIn(["global", key]);
    const text = (key: string): string | null => {
      const value = global(key);
      return value === undefined ? null : String(value);
    };
    return {
      smarthost: text("smtp_smarthost"),
      from: text("smtp_from"),
      require_tls: global("smtp_require_tls") !== false,
      authenticated: global("smtp_auth_username") !== undefined,
    };
  }

  /**
   * The text with other recipients; the receiver of test alerts gets all of them.
   * @throws REQUEST_INVALID for a severity without a route
   */
  withRecipients(recipients: readonly string[] | Recipients): string {
    const receivers = this.#receivers();
    const severities = [...receivers.keys()];
    const wanted: Recipients = Array.isArray(recipients)
      ? Object.fromEntries(severities.map((severity) => [severity, recipients as readonly string[]]))
      : (recipients as Recipients);
    const edits: TextEdit[] = [];
    for (const [severity, addresses] of Object.entries(wanted)) {
      const receiver = receivers.get(severity);
      if (receiver === undefined) {
        throw new PipelineError("REQUEST_INVALID", `no route has the severity ${severity}`, {
          remedy: `there are: ${severities.join(", ")}`,
        });
      }
      edits.push(...this.#edits(receiver, addresses));
    }
    const everybody = new Set(Object.values({ ...this.recipients, ...wanted }).flat());
    if (this.#addresses(testReceiver).length > 0) edits.push(...this.#edits(testReceiver, [...everybody]));
    return applyEdits(this.source, edits);
  }

  #edits(receiver: string, addresses: readonly string[]): TextEdit[] {
    for (const address of addresses) requireAddress(address);
    const scalars = this.#addresses(receiver);
    if (scalars.length === 0) {
      throw new PipelineError("CONFIG_INVALID", `the receiver ${receiver} has no email_configs with a \`to\``, {
        remedy: "restore the receiver, or change the file by hand",
      });
    }
    return scalars.map((scalar) => {
      const [start, end] = rangeOf(scalar);
      // A double-quoted scalar: JSON strings are YAML.
      return { start, end, text: JSON.stringify([...new Set(addresses)].join(", ")) };
    });
  }

  /** Severity to the name of the receiver that the first such route names. */
  #receivers(): Map<string, string> {
    const found = new Map<string, string>();
    const routes = this.#document.getIn(["route", "routes"]);
    for (const route of isSeq(routes) ? routes.items.filter(isMap) : []) {
      const matchers = route.get("matchers");
      const name = route.get("receiver");
      for (const matcher of isSeq(matchers) ? matchers.items : []) {
        const severity = severityMatcher.exec(isScalar(matcher) ? String(matcher.value) : "")?.[1];
        if (severity !== undefined && name !== undefined && !found.has(severity)) found.set(severity, String(name));
      }
    }
    return found;
  }

  #addresses(name: string): Scalar[] {
    const receivers = this.#document.get("receivers");
    const maps = isSeq(receivers) ? receivers.items.filter(isMap) : [];
    const receiver: YAMLMap | undefined = maps.find((each) => each.get("name") === name);
    const configs = receiver?.get("email_configs");
    return (isSeq(configs) ? configs.items.filter(isMap) : []).flatMap((config) => {
      const to = config.get("to", true);
      return isScalar(to) ? [to] : [];
    });
  }
}

function split(scalar: Scalar): string[] {
  return String(scalar.value)
    .split(",")
    .map((address) => address.trim())
    .filter((address) => address !== "");
}

/** No list, no template, no header in disguise: the value goes into a template of Alertmanager. */
function requireAddress(address: string): void {
  if (/^[^\s,;<>"'{}\\()[\]:]+@[^\s,;<>"'{}\\()[\]:@]+$/.test(address) && address.length <= 254) return;
  throw new PipelineError("REQUEST_INVALID", `${JSON.stringify(address)} is no e-mail address`);
}
