import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const ANSWER_TIMEOUT_MS = 300_000;
const STDERR_TAIL = 4000;
/** Of the kernel's clock in /proc/PID/stat. */
const TICKS_PER_SECOND = 100;

/**
 * A process that stays alive and computes only when it is asked: one line of JSON in, one line of JSON out. Its first
 * line, unasked, says that it is ready.
 */
export class Contestant {
  #child;
  #lines;
  #stderr = "";
  #ended;

  constructor(name, command, args, env = {}) {
    this.name = name;
    this.#child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.on("data", (chunk) => {
      this.#stderr = `${this.#stderr}${chunk}`.slice(-STDERR_TAIL);
    });
    // A process that died is told by its missing answer.
    this.#child.stdin.on("error", () => {});
    this.#ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("close", (code, signal) => resolve(`ended with ${signal ?? `code ${code}`}`));
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** What it says about itself when it is ready. */
  ready() {
    return this.#answer();
  }

  ask(question) {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    return this.#answer();
  }

  /** Largest resident memory since it started, in bytes; null where the system does not tell. */
  peakMemory() {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
      return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
    } catch {
      return null;
    }
  }

  /** Processor seconds used so far, user and system; null where the system does not tell. */
  cpuSeconds() {
    try {
      const stat = readFileSync(`/proc/${this.#child.pid}/stat`, "utf8");
      // Fields 14 and 15; the second, the name in parentheses, may contain spaces.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    } catch {
      return null;
    }
  }

  /** Lets it finish by closing its input. */
  async close() {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 20_000);
    await this.#ended;
    clearTimeout(timer);
  }

  async #answer() {
    let timer;
    const timeout = new Promise((_, reject) => {
      timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        reject(new Error(`${this.name}: no answer in ${ANSWER_TIMEOUT_MS / 1000} s`));
      }, ANSWER_TIMEOUT_MS);
    });
    try {
      const { value, done } = await Promise.race([this.#lines.next(), timeout]);
      if (done) throw new Error(`${this.name}: ${await this.#ended}\n${this.#stderr.trim()}`);
      return JSON.parse(value);
    } finally {
      clearTimeout(timer);
    }
  }
}
