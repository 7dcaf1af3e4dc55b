import sharp from "sharp";

/** Formats that are accepted, by their content, and their loaders; the file's name and declared type don't matter. */
export const loaders = {
  jpeg: "VipsForeignLoadJpegBuffer",
  png: "VipsForeignLoadPngBuffer",
  webp: "VipsForeignLoadWebpBuffer",
  gif: "VipsForeignLoadNsgifBuffer",
  // The prebuilt library has HEIF with AVIF alone.
  avif: "VipsForeignLoadHeifBuffer",
} as const;

const svgLoader = "VipsForeignLoadSvgBuffer";
let hardened = false;
let drawing: Promise<unknown> = Promise.resolve();

/** libvips settings are per process: no cache, one thread an image, and no loader but those above (no SVG, PDF, …). */
export function harden(): void {
  if (hardened) return;
  sharp.cache(false);
  sharp.concurrency(1);
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: Object.values(loaders) });
  hardened = true;
}

/**
 * An SVG as a PNG. Its text must be the program's own: the loader is free while it is drawn, one picture after the
 * other, and blocked again.
 */
export function svgToPng(svg: string): Promise<Uint8Array> {
  const draw = async (): Promise<Uint8Array> => {
    harden();
    sharp.unblock({ operation: [svgLoader] });
    try {
      return await sharp(Buffer.from(svg)).png({ compressionLevel: 9, palette: true }).toBuffer();
    } finally {
      sharp.block({ operation: [svgLoader] });
    }
  };
  const drawn = drawing.then(draw);
  drawing = drawn.catch(() => undefined);
  return drawn;
}
