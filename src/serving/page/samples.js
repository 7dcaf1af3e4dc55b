// Drawings to try; scripts/make-samples.mjs made the files.
import { element } from "./view.js";

const names = ["airplane", "automobile", "bird", "cat", "frog", "ship", "truck"];

export function installSamples(list, onChoose) {
  list.replaceChildren(
    ...names.map((name) => {
      const path = `/page/samples/${name}.png`;
      const image = element("img", { src: path, alt: name, width: 56, height: 56, loading: "lazy" });
      const button = element("button", { type: "button", className: "sample", title: `Drawing: ${name}` }, image);
      button.addEventListener("click", async () => {
        const response = await fetch(path);
        if (!response.ok) return;
        onChoose(new File([await response.blob()], `${name}.png`, { type: "image/png" }));
      });
      return element("li", {}, button);
    }),
  );
}
