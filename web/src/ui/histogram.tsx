// How long runs of a type take, from its histogram, with the predicted span and, of a running task, where it is now.

import { duration, num, predicted } from "../lib/format.ts";
import type { TypeStat } from "../lib/wire.ts";
import { Hatched, Plot } from "./plot.tsx";

interface Props { type: TypeStat; p50: number; p90: number; elapsed?: number; ended?: boolean; height: number | ((w: number) => number) }

export function Histogram({ type, p50, p90, elapsed, ended, height }: Props) {
  const bounds = (type.histogram_us ?? []).map(num);
  const counts = (type.histogram_count ?? []).map(num);
  if (bounds.length === 0) return <p class="faint small">Still learning: no run has ended.</p>;
  const first = bounds[0] / 2;
  const low = Math.log(Math.max(1, Math.min(first, p50 || first, elapsed || first) * 0.9));
  const high = Math.log(Math.max(bounds[bounds.length - 1], p90, elapsed ?? 0) * 1.1);
  const most = Math.max(1, ...counts);
  return (
    <Plot height={height} label={`Run times of ${type.type}: p50 ${duration(p50)}, P90 ${duration(p90)}`}>
      {({ w, h, k, hatch }) => {
        const floor = h - 18 * k;
        const top = 24 * k;
        const x = (v: number) => ((Math.log(Math.max(1, v)) - low) / (high - low)) * w;
        const spread = Math.max(2, x(p90) - x(p50));
        return (
          <>
            {p50 > 0 && <Hatched x={x(p50)} y={top - 8} width={spread} height={floor - top + 8} hatch={hatch} />}
            {bounds.map((bound, i) => {
              const from = x(i === 0 ? first : bounds[i - 1]);
              const tall = ((floor - top) * counts[i]) / most;
              return counts[i] > 0 && <rect class="f-run" x={from + 1} y={floor - Math.max(2, tall)} width={Math.max(2, x(bound) - from - 2)} height={Math.max(2, tall)} rx="1" opacity={elapsed !== undefined && bound < elapsed ? 0.3 : 0.9}><title>{`${counts[i]} of up to ${duration(bound)}`}</title></rect>;
            })}
            <path class="axis" d={`M0 ${floor}H${w}`} />
            {ticks(Math.exp(low), Math.exp(high), Math.floor(w / (64 * k))).map((v) => <text x={Math.min(w - 14 * k, Math.max(14 * k, x(v)))} y={h - 4} text-anchor="middle">{duration(v).replace(".0", "")}</text>)}
            {p50 > 0 && (
              <>
                <path class="ln k-pred" d={`M${x(p50)} ${top - 8}V${floor}`} /><path class="ln k-pred thin" d={`M${x(p90)} ${top - 8}V${floor}`} />
                <text class="t-pred e" x={x(p50) - 5} y={top - 10 * k} text-anchor={x(p50) < 70 * k ? "start" : "end"}>p50 {predicted(p50)}</text>
                <text class="t-pred e" x={x(p50) < 70 * k ? Math.max(x(p90) + 5, x(p50) + 80 * k) : x(p90) > w - 70 * k ? w : x(p90) + 5} y={top - 10 * k} text-anchor={x(p90) > w - 70 * k && x(p50) >= 70 * k ? "end" : "start"}>P90 {predicted(p90)}</text>
              </>
            )}
            {elapsed !== undefined && elapsed > 0 && <><path class="now" d={`M${x(elapsed)} ${top + 8}V${floor}`} /><text class="t-ink e" x={x(elapsed) - 4} y={top + 20 * k} text-anchor={x(elapsed) < 80 * k ? "start" : "end"}>{ended ? "took" : "now"} {duration(elapsed)}</text></>}
          </>
        );
      }}
    </Plot>
  );
}

// Round durations in microseconds, on a log scale.
const ROUND = [1, 10, 100, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 3e7, 6e7, 12e7, 3e8, 6e8, 12e8, 18e8, 36e8, 72e8, 216e8, 864e8];
function ticks(low: number, high: number, places: number): number[] {
  const inside = ROUND.filter((each) => each >= low && each <= high);
  const step = Math.max(1, Math.ceil(inside.length / Math.max(1, places)));
  return inside.filter((_, i) => i % step === 0);
}
