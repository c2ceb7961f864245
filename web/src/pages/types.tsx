// How long does it take, and how far can that be trusted?

import { useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { Problem, pathOf, send } from "../lib/api.ts";
import { type Answer, useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { bytes, count, duration, num, plural, predicted, share } from "../lib/format.ts";
import { may, me } from "../lib/identity.ts";
import { link, set } from "../lib/router.ts";
import { slotTimeOf } from "../lib/runs.ts";
import type { TypeList, TypeStat } from "../lib/wire.ts";
import { EXPERTS } from "../lib/words.ts";
import { type Act, ActButton } from "../ui/dialog.tsx";
import { Glyph } from "../ui/glyph.tsx";
import { Histogram } from "../ui/histogram.tsx";
import { Events } from "../ui/events.tsx";
import { Bar, Kv, Name, Panel, PredictedTime, Scroll, Time, TypeLink, Verdict, useNow, visible } from "../ui/parts.tsx";
import { Answered, Empty, ErrorBox, Skeleton } from "../ui/states.tsx";
import { DoPromisesHold, PredictedAgainstActual, RunsOverTime, square } from "../ui/typeplots.tsx";

const EVERY_MS = 2000;
const LEARNING = 10;
const HARD = 0.5;

const RUNS_MS = 5000;

const SORTS: Record<string, (type: TypeStat) => number | string> = {
  name: (t) => t.type, p50: (t) => num(t.p50_us), hit: (t) => t.within_25,
};

export default function Types({ place }: PageProps) {
  const list = useAnswer<TypeList>(pathOf("/v1/types", {}), EVERY_MS);
  const types = list.data?.types ?? [];
  const slotTime = slotTimeOf(types).of;
  const sort = place.query.sort ?? "-share";
  const of = SORTS[sort.replace("-", "")] ?? slotTime;
  const sign = sort.startsWith("-") ? -1 : 1;
  const sorted = [...types].sort((a, b) => {
    const [x, y] = [of(a), of(b)];
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x) < String(y) ? -1 : 1);
  });
  const shown = place.name || sorted[0]?.type || "";
  if (!list.data) return list.problem ? <ErrorBox problem={list.problem} again={list.again} /> : <Skeleton height="24rem" />;
  if (types.length === 0 && place.name === "")
    return <><Verdict title="No type of task has been seen yet." /><section class="panel"><Empty text="A task makes its type appear:" command="nexus task submit --type hello --wait -- echo hello" /></section></>;
  return (
    <div class={`types ${place.name ? "one" : ""}`}>
      <List types={sorted} shown={shown} sort={sort} told={list.data} heading={place.name === "" ? undefined : 2} />
      <One key={shown} name={shown} all={types} />
    </div>
  );
}

function List({ types, shown, sort, told }: { types: TypeStat[]; shown: string; sort: string; told: TypeList; heading?: number }) {
  const slotTime = slotTimeOf(types).of;
  const all = types.reduce((sum, each) => sum + slotTime(each), 0) || 1;
  const head = (by: string, text: string, cls = "num") => {
    const down = sort === `-${by}`;
    const sorted = down || sort === by;
    return <th class={cls} aria-sort={sorted ? (down ? "descending" : "ascending") : undefined}><button type="button" onClick={() => set({ sort: down ? by : `-${by}` })}>{text}{sorted ? (down ? " ↓" : " ↑") : ""}</button></th>;
  };
  return (
    <section class="panel typelist" aria-label="List of types">
      <header><h2>Types</h2><small>{count(types.length)}; hit {share(told.within_25)} of about the last 1,000 runs</small></header>
      <Scroll label="All types">
        <table>
          <thead><tr>{head("name", "Type", "")}{head("share", "Share")}{head("p50", "p50")}{head("hit", "Hit")}</tr></thead>
          <tbody>{types.map((each) => (
            <tr key={each.type} aria-current={each.type === shown ? "true" : undefined}>
              <td><TypeLink name={each.type} />{each.drifting && <span class="warn" title="changed lately" style={{ marginLeft: ".375rem" }}><Glyph name="drift" /></span>}</td>
              <td class="num">{share(slotTime(each) / all)}</td><td class="num">{duration(num(each.p50_us)).replace(".0", "")}</td><td class={`num ${each.within_25 < HARD ? "faint" : ""}`}>{share(each.within_25)}</td>
            </tr>
          ))}</tbody>
        </table>
      </Scroll>
    </section>
  );
}

function One({ name, all }: { name: string; all: readonly TypeStat[] }) {
  const answer = useAnswer<TypeStat>(pathOf("/v1/types/{type}", { type: name }), EVERY_MS);
  const slotTime = slotTimeOf(all).of;
  return (
    <div class="stack detail">
      <a class="btn tiny backlink" href={link("types")}>← All types</a>
      {answer.problem?.status === 404 && !answer.data ? <Verdict title={<>No type <Name>{name}</Name> has been seen.</>} />
        : <Answered answer={answer} height="20rem">{(type) => <Detail type={type} again={answer} share={slotTime(all.find((each) => each.type === type.type) ?? type) / (all.reduce((sum, each) => sum + slotTime(each), 0) || 1)} />}</Answered>}
    </div>
  );
}

function Detail({ type, again, share: part }: { type: TypeStat; again: Answer<TypeStat>; share: number }) {
  const name = { type: type.type };
  const runs = useAnswer(pathOf("/v1/types/{type}/runs", name), RUNS_MS).data?.runs ?? [];
  const reliability = useAnswer(pathOf("/v1/types/{type}/reliability", name), RUNS_MS).data;
  const events = useAnswer(pathOf("/v1/types/{type}/events", name), RUNS_MS).data?.events ?? [];
  const now = useNow();
  const learning = num(type.samples) < LEARNING;
  const ceiling = reliability?.ceiling ?? 0;
  const plots = runs.length > 1;
  const [p50, p90] = [num(type.p50_us), num(type.p90_us)];
  const takes = <><Name>{type.type}</Name> takes <span class="pred">{predicted(p50)}</span>, nine in ten at most <span class="pred">{predicted(p90)}</span>.</>;
  const title = learning ? <>Still learning <Name>{type.type}</Name>: {plural(num(type.samples), "run")}.</>
    : type.drifting ? <><Name>{type.type}</Name> takes another time than before; predictions follow.</>
    : type.within_25 < HARD ? <><Name>{type.type}</Name> is hard to predict: {share(type.within_25)} of predictions hit{ceiling > 0 && ceiling < HARD + 0.1 ? `, and no predictor could do better than ${share(ceiling)}` : ""}.</> : takes;
  return (
    <>
      <Verdict title={title} acts={<TypeActs type={type} again={again.again} />}
               chips={<>{type.drifting && <span class="chip warn"><Glyph name="drift" />changed lately</span>}<span class="chip">{plural(num(type.samples), "run")}</span><span class="chip">{share(part)} of slot time</span><a class="chip" href={link("tasks", "", { type: type.type })}>its tasks</a></>}>
        <p>{(learning || type.drifting || type.within_25 < HARD) && <>{takes} </>}
          {type.payload_slope > 0.05 ? <>Its run time grows with <Name>{type.size_name}</Name>, to the power {type.payload_slope.toFixed(2)}. </> : "Its run time depends on nothing that is known. "}
          {!learning && `${share(type.within_25)} of its recent predictions were within 25 %, and ${share(type.p90_coverage, 1, 0.9)} of its runs ended within their P90.`}</p>
      </Verdict>
      <div class="grid">
        {plots && <RunsOverTime runs={runs} events={events} now={now} />}
        <Panel title="How long runs take" sub="lately" class={plots ? "c4 keep third" : "c7 keep"}><Histogram type={type} p50={p50} p90={p90} height={plots ? square : 206} /></Panel>
        {plots && <PredictedAgainstActual runs={runs} />}
        {reliability && <DoPromisesHold points={reliability.points ?? []} />}
        {plots && <Experts type={type} ceiling={ceiling} class="c7 keep" />}
        <Panel title="What else is known" class="c5 keep">
          <Kv rows={[
            ["Grows with", type.payload_slope > 0.05 ? <><Name>{type.size_name}</Name>, to the power {type.payload_slope.toFixed(2)}</> : "nothing that is known"],
            ceiling > 0 && ["Best possible", <>about {share(ceiling)} within 25 %<span class="faint"> · its runs differ by themselves</span></>],
            ["Mean", duration(num(type.mean_us))],
            ["Trend", trendText(type)],
            ["Memory", num(type.memory_p95_bytes) > 0 ? `p95 of peaks ${bytes(num(type.memory_p95_bytes))}` : "unknown: its workers do not measure it"],
            ["Failed", `${count(num(type.failed))} of ${count(num(type.failed) + num(type.succeeded))}`],
            ["Changes noticed", num(type.drifts) === 0 ? "none" : count(num(type.drifts))],
            ["Forced estimate", num(type.override_us) > 0 ? <><span class="pred">{predicted(num(type.override_us))}</span> by <Name>{type.override_author || "unknown"}</Name>: <Name>{type.override_reason}</Name>{num(type.override_expires_unix_us) > 0 && <>, until <Time us={num(type.override_expires_unix_us)} /></>}</> : "none"],
            ["In a terminal", <span class="mono"><Name>{`nexus type get ${type.type}`}</Name></span>],
          ]} />
        </Panel>
        {!plots && <Experts type={type} ceiling={ceiling} class="c12" />}
        <Events events={events} class="c12" />
      </div>
    </>
  );
}

function trendText(type: TypeStat): string {
  const points = Math.round(100 * type.trend);
  return points === 0 ? "as good as before" : `${points > 0 ? "+" : "−"}${Math.abs(points)} points, the last 20 runs against the last 100`;
}

function Experts({ type, ceiling, class: cls }: { type: TypeStat; ceiling: number; class: string }) {
  const list = [...(type.experts ?? [])].sort((a, b) => b.hit_rate - a.hit_rate);
  if (list.length === 0) return null;
  return (
    <Panel title="Who predicts" sub="share of hits lately; the best is asked" class={cls}>
      <Scroll label="Predictors" flush>
        <table>
          <thead><tr><th>Predictor</th><th>Hit</th><th class="num">says now</th></tr></thead>
          <tbody>{list.map((each) => {
            const used = each.name === type.expert;
            return (
              <tr key={each.name}>
                <td class="wrap">{used ? <b>{EXPERTS[each.name] ?? each.name}</b> : <span>{EXPERTS[each.name] ?? each.name}</span>} <span class="mono faint opt">{each.name}</span>{used && <span class="chip run" style={{ marginLeft: ".5rem" }}>in use</span>}</td>
                <td><span class="row" style={{ flexWrap: "nowrap" }}><span style={{ width: "8rem" }}><Bar share={each.hit_rate} kind={used ? "" : "wait"} mark={ceiling} /></span>{share(each.hit_rate)}</span></td>
                <td class="num pred">{predicted(num(each.estimate_us))}</td>
              </tr>
            );
          })}</tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

function TypeActs({ type, again }: { type: TypeStat; again: () => void }) {
  const allowed = may(useCell(me), "operator");
  const [force, setForce] = useState(false);
  const name = visible(type.type);
  const forget = (): Act => ({
    title: `Forget what was learned of ${name}`, verb: "Forget", danger: true, onDone: again,
    effect: <p>All {plural(num(type.samples), "run")} that it was learned from are dropped. It is predicted as a new type until some runs have ended; waiting tasks keep their places.</p>,
    carryOut: async (by) => (await send("post", "/v1/types/{type}/reset", { type: type.type }, by), undefined),
  });
  const clear = (): Act => ({
    title: `Clear the forced estimate of ${name}`, verb: "Clear", onDone: again, effect: <p>It is predicted from its runs again.</p>,
    carryOut: async (by) => (await send("put", "/v1/types/{type}/estimate", { type: type.type }, { estimate_us: "0", ...by }), undefined),
  });
  return (
    <>
      {num(type.override_us) > 0 ? <ActButton text="Clear the forced estimate…" act={clear} may={allowed} role="operator" />
        : force ? <Force type={type.type} name={name} p50={num(type.p50_us)} onDone={() => (setForce(false), again())} onLeave={() => setForce(false)} />
        : <button type="button" class="btn tiny" disabled={!allowed} title={allowed ? undefined : "needs role operator"} onClick={() => setForce(true)}>Force an estimate…{!allowed && <small> needs role operator</small>}</button>}
      <ActButton text="Forget what was learned…" act={forget} may={allowed} role="operator" danger />
    </>
  );
}

// The estimate is written first, then asked for the reason.
function Force({ type, name, p50, onDone, onLeave }: { type: string; name: string; p50: number; onDone: () => void; onLeave: () => void }) {
  const [seconds, setSeconds] = useState("");
  const [hours, setHours] = useState("24");
  const us = Math.round(Number(seconds) * 1e6);
  const valid = us > 0 && Number(hours) > 0;
  const act = (): Act => ({
    title: `Force an estimate for ${name}`, verb: "Force it", onDone,
    effect: <p>Every task of this type is predicted to take <span class="pred">{duration(us)}</span> instead of {duration(p50)}, until <PredictedTime us={Date.now() * 1000 + Number(hours) * 3600e6} />. Order, placement and promises follow it.</p>,
    carryOut: async (by) => {
      if (!valid) throw new Problem(0, "Not a time", "Write how many seconds, for example 2.5", "PAGE");
      await send("put", "/v1/types/{type}/estimate", { type }, { estimate_us: String(us), expires_unix_us: String(Math.round(Date.now() * 1000 + Number(hours) * 3600e6)), ...by });
      return undefined;
    },
  });
  return (
    <span class="row">
      <input class="text" style={{ width: "6rem", height: "1.625rem" }} inputMode="decimal" aria-label="Seconds" placeholder="seconds" value={seconds} onInput={(e) => setSeconds(e.currentTarget.value)} />
      <input class="text" style={{ width: "5rem", height: "1.625rem" }} inputMode="decimal" aria-label="For how many hours" placeholder="hours" value={hours} onInput={(e) => setHours(e.currentTarget.value)} />
      <ActButton text="Force…" act={act} may={valid} role="a number of seconds" />
      <button type="button" class="btn tiny quiet" onClick={onLeave}>Leave it</button>
    </span>
  );
}
