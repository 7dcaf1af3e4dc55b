import koffi from "koffi";

/** Linux's advice: back this memory by huge pages; and: do so now with what is there already (since Linux 6.1). */
const [hugePage, collapse] = [14, 25];
/** Huge pages are of 2 MiB; in less than two of them there may be no whole one. */
const leastBytes = 2 ** 22;

/**
 * MPI copies between processes page by page: what is summed in each step lies better in huge ones. Asks the system for them,
 * once for each buffer; where it has none (other systems, other settings) nothing changes.
 */
export function createHugePageAdviser(): (data: Float32Array) => void {
  const calls = open();
  if (calls === undefined) return () => undefined;
  const { addressOf, advise, pageSize } = calls;
  const advised = new Set<number>();
  return (data) => {
    if (data.byteLength < leastBytes) return;
    const address = addressOf(data);
    if (advised.has(address)) return;
    advised.add(address);
    const start = Math.ceil(address / pageSize) * pageSize;
    const bytes = Math.floor((address + data.byteLength) / pageSize) * pageSize - start;
    if (advise(start, bytes, hugePage) === 0) advise(start, bytes, collapse);
  };
}

function open() {
  if (process.platform !== "linux") return undefined;
  try {
    const libc = koffi.load("libc.so.6");
    const copy = libc.func("memcpy", "uintptr_t", ["void *", "void *", "size_t"]);
    const advise = libc.func("madvise", "int", ["uintptr_t", "size_t", "int"]);
    const pageSize = libc.func("getpagesize", "int", [])() as number;
    // Copying nothing tells where something lies.
    return { addressOf: (data: Float32Array) => Number(copy(data, data, 0)), advise, pageSize };
  } catch {
    // A Linux with another C library.
    return undefined;
  }
}
