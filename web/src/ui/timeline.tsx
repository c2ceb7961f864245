// The timeline of a task: what was, solid; what is expected, hatched; what had been promised, above.

import { useCell } from "../lib/cell.ts";
import { duration } from "../lib/format.ts";
import { zone } from "../lib/prefs.ts";
import { clock, timeTicks } from "../lib/time.ts";
import { type Row, axisOf, rowsOf } from "../lib/timeline.ts";
import type { Task } from "../lib/wire.ts";
import { hasEnded } from "../lib/words.ts";
import { Panel, useNow, visible } from "./parts.tsx";
import { type Area, Hatched, Plot } from "./plot.tsx";

const PHONE = 560;
const BOX = 20;

export function Timeline({ task, now: given }: { task: Task; now?: number }) {
  const ticking = useNow();
  const where = useCell(zone);
  const now = given ?? ticking;
  const rows = rowsOf(task, now);
  if (rows.length === 0) return null;
  const ended = hasEnded(task);
  return (
    <Panel title="Timeline" sub="what was, what is expected, what had been promised" class="c12" tools={<span class="row" style={{ gap: ".75rem" }}><span class="key"><i class="r" />ran</span><span class="key"><i class="w" />waited</span><span class="key"><i class="p" />predicted, p50 to P90</span></span>}>
      <Plot height={(w) => 58 + rows.length * (w < PHONE ? 42 : 37)} label={`Timeline: ${rows.map((row) => said(row, where)).join("; ")}`}>
        {(area) => <Drawn area={area} rows={rows} now={ended ? null : now} zone={where} />}
      </Plot>
    </Panel>
  );
}

function said(row: Row, where: string): string {
  const spans = row.spans.map((each) => `${each.text} ${duration(each.to - each.from)}`).join(", ");
  return `${row.name} ${spans}${row.predicted ? ` predicted ${clock(row.predicted[0], where)} to ${clock(row.predicted[1], where)}` : ""}`;
}

function Drawn({ area: { w, h, k, hatch }, rows, now, zone: where }: { area: Area; rows: Row[]; now: number | null; zone: string }) {
  const small = w < PHONE * k;
  const left = (small ? 4 : 112) * k;
  const axis = axisOf(rows, now, left, w - 10 * k);
  const y = (i: number) => (32 + i * (small ? 42 : 37)) * k;
  const floor = h - 22 * k;
  const box = BOX * k;
  const seconds = axis.to - axis.from < 600e6 || axis.folds.length > 0;
  const pieces = axis.folds.length > 0 ? [[axis.from, axis.folds[0].from], [axis.folds[0].to, axis.to]] : [[axis.from, axis.to]];
  const ticks = pieces.flatMap(([from, to]) => timeTicks(from, to, (axis.x(to) - axis.x(from)) / (70 * k)));
  if (ticks.length === 0) ticks.push(axis.from, axis.to);
  return (
    <>
      {ticks.map((t) => <><path class="grid-line" d={`M${axis.x(t)} ${18 * k}V${floor}`} /><text x={Math.min(w - 24 * k, Math.max(24 * k, axis.x(t)))} y={h - 7} text-anchor="middle">{clock(t, where, seconds)}</text></>)}
      {axis.folds.map((fold) => <><path class="flag" d={`M${fold.x} ${18 * k}V${floor}`} /><text class="t-warn" x={fold.x} y={14 * k} text-anchor="middle">{duration(fold.to - fold.from)} folded</text></>)}
      {rows.map((row, i) => <Line row={row} y={y(i)} box={box} x={axis.x} small={small} left={left} k={k} w={w} hatch={hatch} now={now} zone={where} />)}
      {now !== null && <><path class="now" d={`M${axis.x(now)} ${12 * k}V${floor}`} /><text class="t-ink e" x={axis.x(now) + (axis.x(now) > w - 40 * k ? -5 : 5)} y={10 * k} text-anchor={axis.x(now) > w - 40 * k ? "end" : "start"}>now</text></>}
    </>
  );
}

interface LineProps { row: Row; y: number; box: number; x: (t: number) => number; small: boolean; left: number; k: number; w: number; hatch: string; now: number | null; zone: string }

function Line({ row, y, box, x, small, left, k, w, hatch, now, zone: where }: LineProps) {
  const [a, b] = row.predicted ?? [0, 0];
  const label = row.predicted && a > 0 ? (row.name === "Promised" ? `told at submission: ${clock(a, where)}, by ${clock(b, where)}` : row.spans.length === 0 ? `${clock(a, where)}, by ${clock(b, where)}` : "") : "";
  const width = label.length * 5.8 * k;
  const before = x(b) + width + 8 > w;
  const within = before && x(a) - width - 8 < left;  // no room on either side: on the span itself
  return (
    <>
      {small ? <text class="e" x={left} y={y - box / 2 - 4}>{row.name}</text> : <text class="t-ink" x={0} y={y + 4}>{row.name}</text>}
      {row.predicted && a > 0 && (
        <>
          <Hatched x={x(a)} y={y - box / 2} width={x(b) - x(a)} height={box} hatch={hatch} />
          <path class="ln k-pred" d={`M${x(a)} ${y - box / 2 - 3}v${box + 6}`} /><path class="ln k-pred thin" d={`M${x(b)} ${y - box / 2}v${box}`} />
          {now !== null && row.spans.length === 0 && x(a) > x(now) && <path class="ln k-pred dash thin" d={`M${x(now)} ${y}H${Math.max(x(now), before && !small ? x(a) - width - 10 : x(a))}`} />}
          {label && !small && <text class="t-pred" x={within ? x(a) + 6 : before ? x(a) - 6 : x(b) + 6} y={y + 4} text-anchor={before && !within ? "end" : "start"}>{label}</text>}
        </>
      )}
      {row.spans.map((span) => {
        const [from, to] = [x(span.from), x(span.to)];
        const wide = to - from;
        if (span.kind === "wait")
          return <><rect class="waitbox" x={from + 0.5} y={y - box / 2 + 4.5} width={Math.max(2, wide - 1)} height={box - 9} rx="2" />{fitting(`${span.text}, ${duration(span.to - span.from)}`, wide, k) && <text class="plain" x={(from + to) / 2} y={y + 4} text-anchor="middle">{`${span.text}, ${duration(span.to - span.from)}`}</text>}</>;
        const text = `${visible(span.text)}, ${duration(span.to - span.from)}${row.end ? "" : " so far"}`;
        return <><rect class={span.kind === "bad" ? "f-bad" : span.kind === "still" ? "f-wait" : "f-run"} x={from} y={y - box / 2 + 4} width={Math.max(2, wide)} height={box - 8} rx="2" />{span.kind !== "bad" && fitting(text, wide, k) && <text class="inbar" x={from + 6} y={y + 4}>{text}</text>}</>;
      })}
      {row.end?.bad && <><path class="ln k-bad" stroke-width="2.5" d={`M${x(row.end.t) + 5} ${y - 4}l8 8m0-8l-8 8`} /><text class="t-bad e" x={Math.max(x(row.end.t), x(b)) + 20} y={y + 4} text-anchor={Math.max(x(row.end.t), x(b)) + 20 + row.end.text.length * 5.8 * k > w ? "end" : "start"}>{small ? "" : visible(row.end.text)}</text></>}
    </>
  );
}
const fitting = (text: string, width: number, k: number) => text.length * 6.2 * k < width - 8;
