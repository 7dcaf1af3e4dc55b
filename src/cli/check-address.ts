import { createServer } from "node:net";
import { PipelineError } from "../base/errors.ts";

/** @throws ADDRESS_UNAVAILABLE when a server could not listen there now */
export async function checkAddress(host: string, port: number): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once("error", reject);
      probe.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code === "EADDRINUSE" ? "another program uses it" : String(code ?? cause);
    throw new PipelineError("ADDRESS_UNAVAILABLE", `cannot listen on ${host} port ${port}: ${reason}`, {
      remedy: "end that program, or choose another port with --port",
      details: { host, port },
      cause,
    });
  } finally {
    await new Promise<void>((resolve) => {
      probe.close(() => resolve());
    });
  }
}
