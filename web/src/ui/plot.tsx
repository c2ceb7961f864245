// A free plot: what is drawn is drawn again when its width changes. The label is its sentence for those who do not see it.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Area {
  w: number;
  h: number;
  k: number;  // of the root's font size, 1 = 16 px
  hatch: string;
}

let plots = 0;

export function Plot({ height, label, children }: { height: number | ((w: number) => number); label: string; children: (area: Area) => ComponentChildren }) {
  const host = useRef<HTMLElement>(null);
  const [w, setWidth] = useState(0);
  const [id] = useState(() => `hatch${++plots}`);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(() => setWidth(Math.round(host.current?.clientWidth ?? 0)));
    if (host.current) watch.observe(host.current);
    setWidth(Math.round(host.current?.clientWidth ?? 0));
    return () => watch.disconnect();
  }, []);
  const k = rem();
  const h = Math.round((typeof height === "function" ? height(w / k) : height) * k);
  return (
    <figure ref={host} style={{ minHeight: `${h}px` }}>
      {w > 60 && (
        <svg class="plot" viewBox={`0 0 ${w} ${h}`} height={h} role="img" aria-label={label}>
          <defs>
            <pattern id={id} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(35)"><path class="hatch" d="M0 0V5" /></pattern>
          </defs>
          {children({ w, h, k, hatch: `url(#${id})` })}
        </svg>
      )}
    </figure>
  );
}

export function rem(): number {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
}

// A predicted span: plum, hatched.
export function Hatched({ x, y, width, height, hatch }: { x: number; y: number; width: number; height: number; hatch: string }) {
  const box = { x, y, width: Math.max(1, width), height };
  return <><rect class="f-pred a1" {...box} /><rect {...box} fill={hatch} /></>;
}
