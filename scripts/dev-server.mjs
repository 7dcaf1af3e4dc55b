// The server of `npm run dev`: ends when dev.mjs has let it go, or is no longer there.

/** A connection that was passed to it just before gets that long to say what it wants. */
const graceMs = 500;

process.once("disconnect", () => setTimeout(() => process.kill(process.pid, "SIGTERM"), graceMs).unref());
await import("../bin/cifar.mjs");
if (process.connected) process.disconnect();
