// Where a run stands against its prediction: elapsed solid, p50 to P90 hatched, in percent of the whole width.

export interface BandShape {
  elapsed: number;
  from: number;
  width: number;
  late: boolean;  // beyond P90
  full: number;   // what the whole width stands for, in microseconds
}

export function bandShape(elapsed: number, p50: number, p90: number): BandShape | null {
  if (!(p50 > 0) || elapsed < 0) return null;
  const high = Math.max(p50, p90);
  const full = Math.max(high * 1.3, elapsed * 1.02);
  const percent = (value: number) => Math.round((1000 * value) / full) / 10;
  return { elapsed: percent(elapsed), from: percent(p50), width: percent(high - p50), late: elapsed > high, full };
}

// What a run is measured against: the prediction at its dispatch, with the P90 of the estimate carried over to it.
interface Predicted { estimate?: { p50_us: string; p90_us: string }; attempts?: { predicted_us: string }[] }
export function predictionOf(task: Predicted): { p50: number; p90: number } {
  const [p50, p90] = [Number(task.estimate?.p50_us ?? 0), Number(task.estimate?.p90_us ?? 0)];
  const dispatched = Number(task.attempts?.at(-1)?.predicted_us ?? 0);
  if (dispatched <= 0) return { p50, p90: Math.max(p50, p90) };
  return { p50: dispatched, p90: p50 > 0 ? dispatched * Math.max(1, p90 / p50) : dispatched };
}

// A log axis between two values, with round ticks: at most `most` of them.
const ROUND = [1, 2, 5];
export function logTicks(low: number, high: number, most = 6): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power)
    for (const step of ROUND) {
      const tick = step * 10 ** power;
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  const every = Math.ceil(ticks.length / most);
  return ticks.filter((_, i) => i % every === 0);
}

// Round ticks of a linear axis from 0.
export function ticksTo(high: number, places = 3): number[] {
  if (!(high > 0)) return [0];
  const raw = high / places;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw) ?? raw;
  const ticks = [];
  for (let i = 0; i * step <= high * 1.0001; ++i) ticks.push(i * step);
  return ticks;
}
