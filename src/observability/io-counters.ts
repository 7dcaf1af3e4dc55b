/** Bytes since the machine started. */
export interface IoCounters {
  readonly network: { readonly received: number; readonly sent: number } | undefined;
  readonly disk: { readonly read: number; readonly written: number } | undefined;
}

/** Sum over /proc/net/dev without loopback: traffic with this machine itself is no network traffic. */
export function parseNetwork(text: string): IoCounters["network"] {
  let received = 0;
  let sent = 0;
  for (const line of text.split("\n").slice(2)) {
    const [name, figures] = line.split(":");
    if (name === undefined || figures === undefined || name.trim() === "lo") continue;
    const fields = figures.trim().split(/\s+/).map(Number);
    received += fields[0] ?? 0;
    sent += fields[8] ?? 0;
  }
  return { received, sent };
}

/** /proc/diskstats counts in units of 512 bytes whatever the disk's sectors are. */
const sectorBytes = 512;

/** Whole disks only: their partitions and the devices that are built on them would count the same bytes again. */
const derived = /^(loop|ram|zram|dm-|md|fd|sr)\d+$|^(sd|hd|vd|xvd)[a-z]+\d+$|^(nvme\d+n\d+|mmcblk\d+)p\d+$/;

export function parseDisks(text: string): IoCounters["disk"] {
  let read = 0;
  let written = 0;
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    const name = fields[2];
    if (name === undefined || derived.test(name)) continue;
    read += Number(fields[5]) * sectorBytes;
    written += Number(fields[9]) * sectorBytes;
  }
  return { read, written };
}
