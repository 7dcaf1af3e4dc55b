import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { decodeImage } from "./decode-image.ts";
import { svgToPng } from "./loaders.ts";

const svg =
  '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="6"><rect width="9" height="6" fill="#f00"/></svg>';
const size = { height: 6, width: 9 };

describe("svgToPng", () => {
  it("draws after images were decoded, several at once, and leaves SVG refused as an image", async () => {
    const png = await sharp({ create: { ...size, channels: 3, background: "#0f0" } })
      .png()
      .toBuffer();
    await decodeImage(png, size);
    const pictures = await Promise.all(Array.from({ length: 4 }, () => svgToPng(svg)));
    for (const picture of pictures) {
      const { data } = await decodeImage(picture, size);
      expect([data[0], data[6 * 9], data[2 * 6 * 9]]).toEqual([255, 0, 0]);
    }
    await expect(decodeImage(Buffer.from(svg), size)).rejects.toMatchObject({ code: "IMAGE_UNSUPPORTED" });
  });

  it("says when it can't be drawn, and draws the next one", async () => {
    await expect(svgToPng("<svg")).rejects.toThrow();
    expect((await svgToPng(svg)).length).toBeGreaterThan(0);
  });
});
