// The candidates of a decision with their factors as stacked bars; smaller is better. One unit is 65,536 of the score.

import { visible } from "./parts.tsx";
import { Plot } from "./plot.tsx";
import type { Decision } from "../lib/wire.ts";
import { factorShade, factorWord } from "../lib/words.ts";

const UNIT = 65_536;

export function FactorBars({ decision }: { decision: Decision }) {
  const list = (decision.candidates ?? []).slice(0, 6);
  if (list.length === 0) return null;
  const parts = [...new Set(list.flatMap((each) => Object.entries(each.factors ?? {}).filter(([, value]) => value !== 0).map(([name]) => name)))].sort((a, b) => factorShade(b) - factorShade(a));
  const scores = list.map((each) => each.score / UNIT);
  const up = list.map((each) => parts.reduce((sum, part) => sum + Math.max(0, each.factors?.[part] ?? 0), 0) / UNIT);
  const down = list.map((each) => parts.reduce((sum, part) => sum + Math.min(0, each.factors?.[part] ?? 0), 0) / UNIT);
  const [low, high] = [Math.min(0, ...down), Math.max(0, ...up)];
  const width = high - low || 1;
  return (
    <div>
      <Plot height={list.length * 31 + 2} label={`Score of each candidate, smaller is better: ${list.map((each, i) => `${each.worker} ${write(scores[i])}`).join(", ")}`}>
        {({ w, k }) => {
          const small = w < 460 * k;
          const left = (small ? 84 : 210) * k;
          const x = (value: number) => left + ((w - left - 52 * k) * (value - low)) / width;
          return (
            <>
              {low < 0 && <path class="grid-line" d={`M${x(0)} 0V${list.length * 31 * k}`} />}
              {list.map((each, i) => {
                const y = (13 + i * 31) * k;
                let [right, leftward] = [0, 0];
                const note = i === 0 ? "chosen" : each.worker === decision.baseline_worker ? "round-robin's choice" : "";
                return (
                  <>
                    <text class={`t-ink ${i === 0 ? "e" : ""}`} x={0} y={y + 4}>{visible(each.worker).slice(0, small ? 12 : 18)}</text>
                    {note && !small && <text class={i === 0 ? "t-run e" : ""} x={112 * k} y={y + 4}>{note}</text>}
                    {parts.map((part) => {
                      const value = (each.factors?.[part] ?? 0) / UNIT;
                      if (value === 0) return null;
                      const from = value > 0 ? right : leftward + value;
                      if (value > 0) right += value;
                      else leftward += value;
                      return <rect class={`part s${factorShade(part)}`} x={x(from) + 0.5} y={y - 7 * k} width={Math.max(1, x(from + Math.abs(value)) - x(from) - 1)} height={14 * k} rx="1.5"><title>{`${factorWord(part)} ${write(value)}`}</title></rect>;
                    })}
                    <text class={`t-ink ${i === 0 ? "e" : ""}`} x={x(Math.max(0, right)) + 6} y={y + 4}>{write(scores[i])}</text>
                  </>
                );
              })}
            </>
          );
        }}
      </Plot>
      <div class="row small" style={{ gap: ".375rem 1rem", marginTop: ".375rem" }}>
        {parts.map((part) => <span class="key"><i class={`s${factorShade(part)}`} />{factorWord(part)}</span>)}
        <span class="faint">{parts.length === 0 ? "all are equal" : "smaller is better"}</span>
      </div>
    </div>
  );
}

function write(value: number): string {
  const digits = Math.abs(value) < 0.095 && value !== 0 ? 3 : 2;
  return value.toFixed(digits).replace("-", "−");
}
