const column = (text, width) => String(text).padStart(width);
const megabytes = (bytes) => (bytes === null ? "?" : (bytes / 1e6).toFixed(0));

/** One network and batch size as a table. */
export function renderCase({ network, batch, rounds, gflop, variants, ratio, ratioByRound, idleShare, profile }) {
  const lines = [
    "",
    `${network}, batch ${batch}: ${gflop.toFixed(1)} GFLOP a step, ${rounds} rounds`,
    `  ${"".padEnd(30)}${["median ms", "quartiles", "img/s", "GFLOP/s", "peak MB"].map((title, i) => column(title, i === 1 ? 16 : 11)).join("")}`,
  ];
  for (const { name, ms, imagesPerSecond, gflops, peakMemory } of variants) {
    const spread = `${ms.lowerQuartile.toFixed(1)}-${ms.upperQuartile.toFixed(1)}`;
    lines.push(
      `  ${name.padEnd(30)}${column(ms.median.toFixed(1), 11)}${column(spread, 16)}${column(imagesPerSecond.toFixed(0), 11)}${column(gflops.toFixed(1), 11)}${column(megabytes(peakMemory), 11)}`,
    );
  }
  const { lowerQuartile, upperQuartile } = ratioByRound;
  lines.push(
    `  ratio ${ratio.toFixed(3)} (best PyTorch median / our median; by round, quartiles ${lowerQuartile.toFixed(3)}-${upperQuartile.toFixed(3)})`,
  );
  if (idleShare !== null) {
    lines.push(`  waiting processes used at most ${(100 * idleShare).toFixed(1)} % of one core during a turn`);
  }
  if (profile !== null) {
    for (const kind of ["operators", "layers"]) {
      lines.push(`  our ${kind}, kernel ms of one step (profiled apart):`);
      for (const { name, ms, share, calls } of profile[kind]) {
        lines.push(
          `    ${name.padEnd(28)}${column(ms.toFixed(1), 11)}${column(`${(100 * share).toFixed(1)} %`, 10)}${column(`${calls} calls`, 12)}`,
        );
      }
    }
  }
  return lines.join("\n");
}
