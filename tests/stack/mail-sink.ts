import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import { waitFor } from "./programs.ts";

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** The decoded parts, by content type. */
  readonly parts: Readonly<Record<string, string>>;
}

export interface MailSink extends AsyncDisposable {
  readonly address: string;
  readonly mails: Mail[];
  /** The first mail from `since` on that fits. */
  find(what: string, fits: (mail: Mail) => boolean, seconds?: number): Promise<Mail>;
}

/** A mail server on loopback that keeps what it gets. */
export async function startMailSink(): Promise<MailSink> {
  const mails: Mail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS", "AUTH"],
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const { mailFrom, rcptTo } = session.envelope;
        mails.push({
          from: mailFrom === false ? "" : mailFrom.address,
          to: rcptTo.map(({ address }) => address).sort(),
          ...parseMail(Buffer.concat(chunks).toString("latin1")),
        });
        done();
      });
    },
  });
  // A client that ends without a goodbye is no failure of the test.
  server.on("error", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    mails,
    find: (what, fits, seconds = 100) => waitFor(`mail: ${what}`, () => mails.find(fits), seconds),
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** Enough of MIME for what Alertmanager writes: multipart/alternative, quoted-printable, encoded words. */
function parseMail(raw: string): Pick<Mail, "headers" | "parts"> {
  const { headers, body } = splitHead(raw);
  const boundary = /boundary="?([^";]+)/.exec(headers["content-type"] ?? "")?.[1];
  const parts: Record<string, string> = {};
  for (const section of boundary === undefined ? [raw] : body.split(`--${boundary}`).slice(1, -1)) {
    const part = splitHead(section.replace(/^\r\n/, ""));
    const type = (part.headers["content-type"] ?? "text/plain").split(";")[0]!;
    parts[type] =
      part.headers["content-transfer-encoding"] === "quoted-printable" ? quotedPrintable(part.body) : part.body;
  }
  return { headers: { ...headers, subject: encodedWords(headers.subject ?? "") }, parts };
}

function splitHead(text: string): { headers: Record<string, string>; body: string } {
  const at = text.indexOf("\r\n\r\n");
  const lines = text
    .slice(0, at)
    .replace(/\r\n[ \t]+/g, " ")
    .split("\r\n");
  const headers = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  return { headers: Object.fromEntries(headers), body: text.slice(at + 4) };
}

function quotedPrintable(text: string): string {
  const bytes = text
    .replace(/=\r\n/g, "")
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function encodedWords(text: string): string {
  return text
    .replace(/\?=\s+=\?/g, "?==?")
    .replace(/=\?utf-8\?q\?(.*?)\?=/gi, (_, word: string) => quotedPrintable(word.replaceAll("_", " ")));
}
