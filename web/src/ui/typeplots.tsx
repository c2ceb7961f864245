// A type's runs, and what had been predicted for each: over time, against each other, and whether promises hold.

import { useState } from "preact/hooks";
import { useCell } from "../lib/cell.ts";
import { count, duration, plural, share } from "../lib/format.ts";
import { zone } from "../lib/prefs.ts";
import { go } from "../lib/router.ts";
import { type Dot, bandPath, chance, dotsOf, judged, keptOf, logRange, logTicksIn } from "../lib/runs.ts";
import { clock, timeTicks } from "../lib/time.ts";
import { at } from "../lib/url.ts";
import type { Event, Kept, Run } from "../lib/wire.ts";
import { num } from "../lib/format.ts";
import { Icon } from "./glyph.tsx";
import { Panel, Scroll, TaskLink, Time, WorkerLink } from "./parts.tsx";
import { Plot } from "./plot.tsx";

const tickText = (us: number) => duration(us).replace(".0", "");
const ROWS = 20;
export const square = (w: number) => Math.min(300, Math.max(196, w * 0.74));
const said = (dot: Dot) => `took ${duration(dot.took)}, predicted ${duration(dot.p50)}, P90 ${duration(dot.p90)}`;

export function RunsOverTime({ runs, events, now }: { runs: readonly Run[]; events: readonly Event[]; now: number }) {
  const where = useCell(zone);
  const [asTable, setAsTable] = useState(false);
  const dots = dotsOf(runs);
  if (dots.length < 2) return null;
  const late = dots.filter((each) => each.late).length;
  const last = dots[dots.length - 1];
  const drifts = events.filter((each) => each.kind.startsWith("drift") && num(each.at_unix_us) > dots[0].t);
  return (
    <Panel title="Every run, and what was predicted" sub={plural(dots.length, "run")} class="c12"
           tools={<button type="button" class="tool" aria-label={`Show the runs as a ${asTable ? "chart" : "table"}`} aria-pressed={asTable} onClick={() => setAsTable(!asTable)}><Icon name="table" /></button>}>
      <div class="read"><span class="key"><i class="line pred" />predicted p50 <b>{duration(last.p50)}</b></span><span class="key">P90 <b>{duration(last.p90)}</b></span><span class="key"><i class="line run" />run <b>{duration(last.took)}</b></span><span class="key">beyond P90 <b>{count(late)}</b></span></div>
      {asTable ? <RunTable dots={dots} /> : (
        <Plot height={206} label={`${plural(dots.length, "run")} over time; ${count(late)} took longer than their P90`}>
          {({ w, h, k, hatch }) => {
            const [left, floor] = [46 * k, h - 22 * k];
            const range = logRange(dots.flatMap((each) => [each.took, each.p50, each.p90]));
            const [low, high] = range.map(Math.log);
            const to = Math.max(now, last.t + 1);
            const x = (t: number) => left + ((w - left - 8) * (t - dots[0].t)) / (to - dots[0].t);
            const y = (v: number) => 6 + (floor - 6) * (1 - (Math.log(v) - low) / (high - low));
            const band = bandPath(dots, x, y, to);
            return (
              <>
                {logTicksIn(range).map((v) => <><path class="grid-line" d={`M${left} ${y(v)}H${w}`} /><text x={left - 6} y={y(v) + 3.5} text-anchor="end">{tickText(v)}</text></>)}
                {timeTicks(dots[0].t, to, (w - left) / (70 * k)).map((t) => <text x={Math.min(w - 24 * k, x(t))} y={h - 5} text-anchor="middle">{clock(t, where, to - dots[0].t < 600e6)}</text>)}
                <path class="f-pred a1" d={band.area} /><path d={band.area} fill={hatch} />
                {dots.map((dot) => <circle class={`dot ${dot.late ? "f-bad" : "f-run"}`} cx={x(dot.t).toFixed(1)} cy={y(dot.took).toFixed(1)} r={(dot.late ? 2.4 : 2) * k} opacity={dot.late ? 0.9 : 0.6} onClick={() => go(at("tasks", dot.task))}><title>{said(dot)}</title></circle>)}
                <path class="ln k-pred" d={band.mid} />
                {drifts.map((each) => <><path class="flag" d={`M${x(num(each.at_unix_us))} 4V${floor}`} /><text class="t-warn e" x={x(num(each.at_unix_us)) - 5} y={12 * k} text-anchor="end">changed</text></>)}
              </>
            );
          }}
        </Plot>
      )}
    </Panel>
  );
}

function RunTable({ dots }: { dots: readonly Dot[] }) {
  return (
    <Scroll label="The newest runs">
      <table>
        <thead><tr><th>Ended</th><th>Task</th><th>Worker</th><th class="num">Took</th><th class="num">p50</th><th class="num">P90</th><th /></tr></thead>
        <tbody>{dots.slice(-ROWS).reverse().map((dot) => <tr key={dot.task + dot.t}><td><Time us={dot.t} /></td><td><TaskLink id={dot.task} /></td><td><WorkerLink name={dot.worker} /></td><td class="num">{duration(dot.took)}</td><td class="num pred">{duration(dot.p50)}</td><td class="num pred">{duration(dot.p90)}</td><td class={dot.late ? "bad" : "faint"}>{dot.late ? "late" : dot.hit ? "hit" : "missed"}</td></tr>)}</tbody>
      </table>
    </Scroll>
  );
}

export function PredictedAgainstActual({ runs }: { runs: readonly Run[] }) {
  const dots = dotsOf(runs);
  if (dots.length < 2) return null;
  const hits = dots.filter((each) => each.hit).length;
  return (
    <Panel title="Predicted against actual" sub={`${share(hits / dots.length)} within 25\u202f%`} class="c4 keep third">
      <Plot height={square} label={`Predicted against actual run times: ${share(hits / dots.length)} of ${count(dots.length)} within 25 %`}>
        {({ w, h, k }) => {
          const range = logRange(dots.flatMap((each) => [each.took, each.p50]));
          const [low, high] = range.map(Math.log);
          const [left, top, right, floor] = [46 * k, 6, w - 8, h - 32 * k];
          const x = (v: number) => left + ((right - left) * (Math.log(v) - low)) / (high - low);
          const y = (v: number) => top + (floor - top) * (1 - (Math.log(v) - low) / (high - low));
          const [a, b] = range;
          const corner = (v: number, f: number) => `${x(v)} ${Math.min(floor, Math.max(top, y(v / f)))}`;
          const ticks = logTicksIn(range, 4);
          return (
            <>
              {ticks.map((v) => <><path class="grid-line" d={`M${left} ${y(v)}H${right}`} /><text x={left - 6} y={y(v) + 3.5} text-anchor="end">{tickText(v)}</text><text x={x(v)} y={h - 18 * k} text-anchor="middle">{tickText(v)}</text></>)}
              <path class="f-good a2" d={`M${corner(a, 0.75)}L${corner(b, 0.75)}L${corner(b, 1.25)}L${corner(a, 1.25)}Z`} /><path class="axis" stroke-dasharray="2 3" d={`M${x(a)} ${y(a)}L${x(b)} ${y(b)}`} />
              {dots.map((dot) => <circle class={`dot ${dot.hit ? "f-run" : "f-bad"}`} cx={x(dot.p50).toFixed(1)} cy={y(dot.took).toFixed(1)} r={2 * k} opacity={dot.hit ? 0.5 : 0.8} onClick={() => go(at("tasks", dot.task))}><title>{said(dot)}</title></circle>)}
              <text x={(left + right) / 2} y={h - 3} text-anchor="middle">predicted</text><text x={left + 5} y={top + 11 * k}>took longer</text><text x={right - 4} y={floor - 6} text-anchor="end">took less</text>
            </>
          );
        }}
      </Plot>
    </Panel>
  );
}

const STEPS = Array.from({ length: 41 }, (_, i) => i / 40);
const VERDICT = { unknown: "", holds: "they hold", "too sure": "too sure of itself", "too careful": "more careful than needed" };

export function DoPromisesHold({ points }: { points: readonly Kept[] }) {
  const kept = keptOf(points);
  if (kept.length < 2) return null;
  const n = kept[0].n;
  const p90 = kept.find((each) => each.promised === 0.9);
  const told = p90 ? `P90 held ${share(p90.kept, 1, 0.9)}` : "";
  return (
    <Panel title="Do the promises hold?" sub={VERDICT[judged(points)]} class="c4 keep third">
      <Plot height={square} label={`Promised against kept share of ${plural(n, "run")}: ${kept.map((each) => `of ${share(each.promised)} ${share(each.kept, 1)}`).join(", ")}`}>
        {({ w, h, k }) => {
          const [left, top, floor] = [40 * k, 6, h - 32 * k];
          const x = (v: number) => left + (w - left - 8) * v;
          const y = (v: number) => top + (floor - top) * (1 - Math.min(1, Math.max(0, v)));
          const line = (values: [number, number][]) => values.map(([a, b], i) => `${i === 0 ? "M" : "L"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
          const by = line([...STEPS.map((q): [number, number] => [q, q + chance(q, n)]), ...STEPS.map((q): [number, number] => [q, q - chance(q, n)]).reverse()]);
          return (
            <>
              {[0, 0.5, 1].map((v) => <><path class="grid-line" d={`M${left} ${y(v)}H${x(1)}`} /><text x={left - 6} y={y(v) + 3.5} text-anchor="end">{share(v)}</text></>)}
              {[0.1, 0.25, 0.5, 0.75, 0.9].map((v) => <text x={x(v)} y={h - 18 * k} text-anchor="middle">p{100 * v}</text>)}
              <path class="f-wait a2" d={`${by}Z`} /><path class="axis" stroke-dasharray="2 3" d={`M${x(0)} ${y(0)}L${x(1)} ${y(1)}`} />
              <path class="ln k-run" d={line([[0, 0], ...kept.map((each): [number, number] => [each.promised, each.kept]), [1, 1]])} />
              {kept.map((each) => <circle class={each === p90 ? "f-pred" : "f-run"} cx={x(each.promised)} cy={y(each.kept)} r={(each === p90 ? 5 : 3) * k} />)}
              {p90 && <text class="t-pred e" x={x(0.9) - 10} y={y(p90.kept) - 5} text-anchor="end">{told}</text>}
              <text x={x(0.06)} y={y(0.6)}>too careful</text><text x={x(0.97)} y={y(0.1)} text-anchor="end">too sure</text>
              <text x={(left + w) / 2} y={h - 3} text-anchor="middle">promised share</text><text x={left + 5} y={top + 11 * k}>share kept</text>
            </>
          );
        }}
      </Plot>
    </Panel>
  );
}
