import {
  elementScroll,
  observeElementOffset,
  observeElementRect,
  type VirtualItem,
  Virtualizer,
} from "@tanstack/virtual-core";
import type { RefObject } from "preact";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";

interface VirtualRowsOptions {
  readonly count: number;
  /** In pixels, as `headHeight`, which stays in sight above the rows. */
  readonly rowHeight: number;
  readonly headHeight: number;
  readonly scroller: RefObject<HTMLElement | null>;
}

/** The rows in sight of a scrolled element and some around them, and the height of all. */
export function useVirtualRows({ count, rowHeight, headHeight, scroller }: VirtualRowsOptions): {
  readonly rows: readonly VirtualItem[];
  readonly height: number;
} {
  const [, redraw] = useReducer<number, void>((draws) => draws + 1, 0);
  const options = {
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    paddingStart: headHeight,
    overscan: 8,
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => redraw(),
  };
  const [virtualizer] = useState(() => new Virtualizer<HTMLElement, HTMLElement>(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), []);
  useLayoutEffect(() => virtualizer._willUpdate());
  return { rows: virtualizer.getVirtualItems(), height: virtualizer.getTotalSize() };
}
