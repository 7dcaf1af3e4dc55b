import { chmod, copyFile, mkdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Document, isMap, isSeq, parseDocument, type YAMLMap } from "yaml";
import { isMissing, replaceFile } from "../../base/durable.ts";
import { PipelineError } from "../../base/errors.ts";
import { AlertmanagerFile } from "../../observability/alerts/alertmanager-file.ts";

/** Where the parts of a stack without containers listen: HOST:PORT each. */
export interface StackAddresses {
  readonly apis: readonly string[];
  readonly prometheus: string;
  readonly alertmanager: string;
}

/** How mail leaves; from the environment. The password stays in its file. */
export interface SmtpRelay {
  readonly smarthost: string;
  readonly from?: string | undefined;
  readonly username?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly requireTls: boolean;
}

export interface StackFilesOptions {
  /** The project's folder monitoring/. */
  readonly source: string;
  /** Where the files for this machine go. */
  readonly target: string;
  readonly addresses: StackAddresses;
  readonly smtp: SmtpRelay;
  /** Where the project can be read by whoever gets an alert: the links to the runbooks begin with it. */
  readonly projectUrl?: string | undefined;
}

export interface StackFiles {
  readonly prometheus: string;
  /** The project's own rule file: thresholds changed through the API stay there. */
  readonly rules: string;
  readonly alertmanager: string;
  /** Those that somebody has changed by hand: they were left as they are. */
  readonly kept: readonly string[];
}

/**
 * The configuration of the containers with the addresses of this machine. Recipients that were changed in an earlier
 * copy are kept; a copy that was changed by hand is left as it is, and the new one lies beside it, with `.generated`
 * after its name. @throws CONFIG_INVALID
 */
export async function writeStackFiles(options: StackFilesOptions): Promise<StackFiles> {
  const { source, target } = options;
  const files = {
    prometheus: join(target, "prometheus.yml"),
    rules: resolve(source, "prometheus", "alert_rules.yml"),
    alertmanager: join(target, "alertmanager.yml"),
  };
  await mkdir(join(target, "templates"), { recursive: true });
  const kept: string[] = [];
  const write = async (path: string, text: string, essence: (text: string) => string): Promise<void> => {
    const [earlier, generated] = [await readIfThere(path), await readIfThere(`${path}.generated`)];
    await replaceFile(`${path}.generated`, text);
    if (earlier === undefined) return replaceFile(path, text);
    if (generated === undefined || essence(earlier) !== essence(generated)) {
      if (essence(earlier) !== essence(text)) kept.push(path);
      return;
    }
    await replaceFile(path, essence === asItIs ? text : withRecipientsOf(text, earlier));
  };
  await write(files.prometheus, await prometheusFor(options), asItIs);
  await write(files.alertmanager, await alertmanagerFor(options), withoutRecipients);
  // Addresses of people.
  for (const path of [files.alertmanager, `${files.alertmanager}.generated`]) await chmod(path, 0o600);
  await copyFile(join(source, "alertmanager", "templates", "email.tmpl"), join(target, "templates", "email.tmpl"));
  return { ...files, kept };
}

const asItIs = (text: string): string => text;

/** The API changes them: that is no change by hand. */
const withoutRecipients = (text: string): string => new AlertmanagerFile(text).withRecipients(["somebody@example.com"]);

const withRecipientsOf = (text: string, earlier: string): string =>
  new AlertmanagerFile(text).withRecipients(new AlertmanagerFile(earlier).recipients);

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function prometheusFor({ source, addresses, projectUrl }: StackFilesOptions): Promise<string> {
  const document = await readDocument(join(source, "prometheus", "prometheus.yml"));
  if (projectUrl !== undefined)
    document.setIn(["global", "external_labels", "project_url"], projectUrl.replace(/\/*$/, "/"));
  const folder = resolve(source, "prometheus");
  document.set("rule_files", [join(folder, "alert_rules.yml"), join(folder, "recording_rules.yml")]);
  document.setIn(["alerting", "alertmanagers"], [{ static_configs: [{ targets: [addresses.alertmanager] }] }]);
  const targets: Readonly<Record<string, readonly string[]>> = {
    "cifar10-api": addresses.apis,
    prometheus: [addresses.prometheus],
    alertmanager: [addresses.alertmanager],
  };
  for (const job of maps(document.get("scrape_configs"))) {
    const wanted = targets[String(job.get("job_name"))];
    if (wanted === undefined) continue;
    if (job.delete("dns_sd_configs")) job.set("static_configs", document.createNode([{}]));
    job.setIn(["static_configs", 0, "targets"], document.createNode([...wanted]));
  }
  return document.toString();
}

async function alertmanagerFor({ source, smtp }: StackFilesOptions): Promise<string> {
  const document = await readDocument(join(source, "alertmanager", "alertmanager.yml"));
  const global: Readonly<Record<string, unknown>> = {
    smtp_smarthost: smtp.smarthost,
    smtp_from: smtp.from,
    smtp_auth_username: smtp.username,
    smtp_auth_password_file: smtp.passwordFile === undefined ? undefined : resolve(smtp.passwordFile),
    smtp_require_tls: smtp.requireTls,
  };
  for (const [key, value] of Object.entries(global)) if (value !== undefined) document.setIn(["global", key], value);
  return document.toString();
}

async function readDocument(path: string): Promise<Document.Parsed> {
  const document = parseDocument(await readFile(path, "utf8"));
  const [error] = document.errors;
  if (error === undefined) return document;
  throw new PipelineError("CONFIG_INVALID", `${path} is no valid YAML: ${error.message}`, {
    remedy: "repair the file",
  });
}

function maps(node: unknown): YAMLMap[] {
  return isSeq(node) ? node.items.filter(isMap) : [];
}
