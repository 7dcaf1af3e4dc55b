export interface RateLimiterOptions {
  readonly perSecond: number;
  readonly burst: number;
  /** Clients remembered; beyond it the one that was quiet longest is forgotten. Default 10,000. */
  readonly maxClients?: number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** A token bucket for each client. */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  /** In the order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateLimiterOptions) {
    this.#options = options;
  }

  /** Takes one token. @returns milliseconds to wait when there is none; 0: go on */
  take(client: string): number {
    const { perSecond, burst, maxClients = 10_000, now } = this.#options;
    const at = now();
    const known = this.#buckets.get(client);
    const tokens = known === undefined ? burst : Math.min(burst, known.tokens + ((at - known.at) / 1000) * perSecond);
    this.#buckets.delete(client);
    this.#buckets.set(client, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
    if (this.#buckets.size > maxClients) this.#buckets.delete(this.#buckets.keys().next().value!);
    return tokens >= 1 ? 0 : ((1 - tokens) / perSecond) * 1000;
  }
}

/** One client is one IPv4 address or one /64 of IPv6, which is what a single subscriber gets. */
export function clientOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = address.split("%", 1)[0]!.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill("0");
  return `${[...left, ...zeros, ...right].slice(0, 4).join(":")}::/64`;
}
