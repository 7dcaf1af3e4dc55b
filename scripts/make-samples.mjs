// Draws the sample images of the page: node scripts/make-samples.mjs
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const sky = (top, bottom) =>
  `<defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="${top}"/><stop offset="1" stop-color="${bottom}"/></linearGradient></defs><rect width="128" height="128" fill="url(#s)"/>`;
const wheel = (x, y, r) =>
  `<circle cx="${x}" cy="${y}" r="${r}" fill="#222"/><circle cx="${x}" cy="${y}" r="${r * 0.45}" fill="#bbb"/>`;

const drawings = {
  airplane: `${sky("#7fb4e6", "#dcecf8")}<ellipse cx="30" cy="96" rx="26" ry="8" fill="#fff" opacity=".8"/>
    <path d="M14 66 Q20 54 44 54 L104 54 Q118 58 118 64 Q112 70 98 70 L40 72 Q22 74 14 66Z" fill="#eef1f5" stroke="#8b96a5"/>
    <path d="M52 62 L78 62 L50 98 L40 98Z" fill="#c3cbd6" stroke="#8b96a5"/><path d="M58 54 L74 54 L60 32 L52 32Z" fill="#d3dae3" stroke="#8b96a5"/>
    <path d="M18 60 L10 36 L24 36 L36 56Z" fill="#b6392f"/><g fill="#44566b">${[84, 76, 68, 60, 52, 44].map((x) => `<rect x="${x}" y="58" width="4" height="4" rx="1"/>`).join("")}</g>
    <path d="M102 55 L112 60 L101 61Z" fill="#44566b"/>`,
  automobile: `${sky("#cfd8dd", "#eef0ee")}<rect y="92" width="128" height="36" fill="#77797c"/>
    <path d="M10 92 L10 76 Q12 68 26 66 L42 50 Q46 46 54 46 L82 46 Q90 46 96 54 L104 66 Q118 68 120 78 L120 92Z" fill="#c22f28" stroke="#7d1b17"/>
    <path d="M46 64 L54 52 L66 52 L66 64Z M70 64 L70 52 L82 52 Q88 54 93 64Z" fill="#bcd6e4"/><rect x="8" y="82" width="8" height="5" fill="#f5d98a"/><rect x="113" y="82" width="8" height="5" fill="#ffcf5c"/>
    ${wheel(34, 94, 12)}${wheel(96, 94, 12)}`,
  bird: `${sky("#b9dcc0", "#e9f4e4")}<path d="M0 106 Q60 92 128 104 L128 112 Q60 100 0 114Z" fill="#6b4a2b"/>
    <path d="M34 72 Q30 44 56 36 Q74 32 82 46 Q108 62 112 92 L96 84 Q84 98 62 96 Q38 92 34 72Z" fill="#4c7fb8"/>
    <path d="M46 78 Q48 60 66 58 Q86 66 92 84 Q70 94 46 78Z" fill="#345d8c"/><path d="M40 78 Q44 94 62 96 Q54 80 52 66Z" fill="#e7a04d"/>
    <circle cx="56" cy="48" r="3.5" fill="#111"/><circle cx="57" cy="47" r="1" fill="#fff"/><path d="M38 50 L22 56 L40 60Z" fill="#e0a020"/>
    <path d="M62 95 L60 106 M72 94 L72 104" stroke="#7a5a28" stroke-width="2.5"/>`,
  cat: `${sky("#e8dccb", "#cdb99b")}<path d="M26 120 Q22 84 46 78 L82 78 Q106 84 102 120Z" fill="#8d8a86"/>
    <path d="M30 40 L34 12 L54 28 L74 28 L94 12 L98 40 Q104 76 64 82 Q24 76 30 40Z" fill="#9c9995"/>
    <path d="M36 34 L38 20 L50 30Z M92 34 L90 20 L78 30Z" fill="#d9a9a0"/><g stroke="#6f6c68" stroke-width="3"><path d="M56 30 L58 42 M64 30 L64 44 M72 30 L70 42"/></g>
    <ellipse cx="48" cy="52" rx="7" ry="8" fill="#d7d06a"/><ellipse cx="80" cy="52" rx="7" ry="8" fill="#d7d06a"/><ellipse cx="48" cy="52" rx="2.4" ry="7" fill="#111"/><ellipse cx="80" cy="52" rx="2.4" ry="7" fill="#111"/>
    <ellipse cx="64" cy="68" rx="13" ry="9" fill="#c9c6c2"/><path d="M60 63 L68 63 L64 68Z" fill="#c97b76"/><path d="M64 68 Q58 75 54 71 M64 68 Q70 75 74 71" fill="none" stroke="#555"/>
    <g stroke="#eee"><path d="M48 66 L22 62 M48 70 L24 72 M80 66 L106 62 M80 70 L104 72"/></g>`,
  frog: `${sky("#8ab36a", "#5d8a47")}<ellipse cx="64" cy="102" rx="54" ry="16" fill="#3d6b34"/>
    <ellipse cx="64" cy="78" rx="38" ry="28" fill="#6fae3c"/><path d="M26 88 Q8 84 12 104 L34 104Z M102 88 Q120 84 116 104 L94 104Z" fill="#5d9a31"/>
    <ellipse cx="64" cy="88" rx="24" ry="16" fill="#dbe6a4"/><circle cx="44" cy="48" r="13" fill="#6fae3c"/><circle cx="84" cy="48" r="13" fill="#6fae3c"/>
    <circle cx="44" cy="47" r="8" fill="#f3e9a0"/><circle cx="84" cy="47" r="8" fill="#f3e9a0"/><ellipse cx="44" cy="47" rx="5" ry="3" fill="#111"/><ellipse cx="84" cy="47" rx="5" ry="3" fill="#111"/>
    <path d="M36 72 Q64 86 92 72" fill="none" stroke="#3c6a1e" stroke-width="2.5"/>`,
  ship: `${sky("#a9c9e2", "#e4eef4")}<rect y="84" width="128" height="44" fill="#2f6690"/><path d="M0 88 Q16 82 32 88 T64 88 T96 88 T128 88" fill="none" stroke="#dfeaf2" stroke-width="2"/>
    <path d="M10 68 L118 68 L106 94 L24 94Z" fill="#23303f"/><path d="M14 76 L114 76 L111 82 L18 82Z" fill="#b3372d"/>
    <rect x="36" y="50" width="54" height="18" fill="#f2f2ee" stroke="#9aa"/><rect x="46" y="38" width="30" height="12" fill="#f2f2ee" stroke="#9aa"/><rect x="56" y="22" width="11" height="16" fill="#b3372d"/><rect x="56" y="26" width="11" height="4" fill="#222"/>
    <g fill="#456">${[41, 51, 61, 71, 81].map((x) => `<rect x="${x}" y="56" width="5" height="5"/>`).join("")}</g><path d="M62 22 Q74 8 96 14" fill="none" stroke="#888" stroke-width="4" opacity=".5"/>`,
  truck: `${sky("#d4dde4", "#f0efe9")}<rect y="94" width="128" height="34" fill="#6d6f72"/><rect x="42" y="34" width="80" height="56" fill="#e9e7df" stroke="#98968e"/>
    <g stroke="#c9c6bc">${[58, 74, 90, 106].map((x) => `<path d="M${x} 36 V88"/>`).join("")}</g><path d="M6 90 L6 70 L16 52 L40 52 L40 90Z" fill="#2c5fa5" stroke="#1b3d6c"/>
    <path d="M12 70 L20 57 L34 57 L34 70Z" fill="#bcd6e4"/><rect x="4" y="82" width="7" height="5" fill="#f5d98a"/><rect x="40" y="88" width="82" height="5" fill="#444"/>${wheel(24, 95, 11)}${wheel(80, 95, 11)}${wheel(106, 95, 11)}`,
};

for (const [name, body] of Object.entries(drawings)) {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128" width="128" height="128">${body}</svg>`;
  const png = await sharp(Buffer.from(svg)).png({ palette: true, colours: 128, effort: 10 }).toBuffer();
  writeFileSync(fileURLToPath(new URL(`../src/serving/page/samples/${name}.png`, import.meta.url)), png);
  console.log(`wrote ${name}.png, ${png.length} bytes`);
}
