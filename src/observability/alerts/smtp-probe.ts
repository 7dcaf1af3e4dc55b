import { connect } from "node:net";

/** Connects to a mail server, waits for its greeting and says goodbye. @throws with the reason */
export async function probeSmtp(smarthost: string, { timeoutMs = 3000 } = {}): Promise<string> {
  const at = smarthost.lastIndexOf(":");
  const [host, port] = [smarthost.slice(0, at).replace(/^\[|\]$/g, ""), Number(smarthost.slice(at + 1))];
  if (at <= 0 || !Number.isInteger(port)) throw new Error(`smtp_smarthost must be HOST:PORT, got ${smarthost}`);
  return new Promise<string>((resolve, reject) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (!text.includes("\n")) return;
      socket.end("QUIT\r\n");
      const greeting = text.split(/\r?\n/)[0]!;
      if (greeting.startsWith("220")) resolve(greeting);
      else reject(new Error(`${smarthost} greets with ${greeting.slice(0, 100)}: no mail server, or one that refuses`));
    });
    socket.on("timeout", () => socket.destroy(new Error(`${smarthost} does not answer within ${timeoutMs} ms`)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${smarthost} closed the connection without a greeting`)));
  });
}
