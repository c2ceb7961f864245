// Is the scheduler itself healthy?

import type { PageProps } from "../app.tsx";
import { type Path, pathOf } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { useCell } from "../lib/cell.ts";
import { checksOf } from "../lib/checks.ts";
import { bytes, count, duration, num, predicted, share } from "../lib/format.ts";
import { link as stream, serverNow, skew, tick, world } from "../lib/live.ts";
import { root } from "../lib/router.ts";
import type { Status } from "../lib/wire.ts";
import { Glyph } from "../ui/glyph.tsx";
import { Kv, Name, Panel, Terminal, Time, Verdict } from "../ui/parts.tsx";
import { Answered, ErrorBox } from "../ui/states.tsx";

const EVERY_MS = 5000;
const WEEK_US = 7 * 86_400e6;
const GLYPH = { good: "succeeded", bad: "dead", warn: "warn" };
const SAID = { good: "good: ", bad: "fails: ", warn: "warning: " };

export default function StatusPage(_: PageProps) {
  useCell(tick);
  const live = useCell(world).status;
  const asked = useAnswer<Status>(live ? null : pathOf("/v1/status", {}), EVERY_MS);
  const status = live ?? asked.data;
  const ready = useAnswer("readyz?verbose" as Path<string>, EVERY_MS);
  const checks = checksOf(ready.problem?.detail ?? ready.data ?? "");
  const bad = checks.filter((each) => each.mark === "bad");
  const healthy = bad.length === 0 && checks.length > 0 && !status?.fallback;
  return (
    <>
      <Verdict title={healthy ? "The scheduler is healthy." : status?.fallback ? <>Predictions fail: round-robin decides{num(status.fallback_since_unix_us) > 0 && <> since <Time us={num(status.fallback_since_unix_us)} /></>}.</> : bad.length > 0 ? `${bad.length === 1 ? "One check fails" : `${bad.length} checks fail`}: ${bad.map((each) => each.name).join(", ")}.` : "Status"}>
        {status && <p>Version {status.version}, up {duration(num(status.uptime_us))}. An acknowledged change survives {status.durability === "disk" ? "a power cut" : status.durability === "process" ? "the end of the process" : status.durability}.</p>}
      </Verdict>
      <div class="grid">
        <Panel title="Checks" sub={ready.at ? `${duration((Date.now() - ready.at) * 1000)} old` : undefined} class="c6">
          {ready.problem && ready.problem.status !== 503 && <ErrorBox problem={ready.problem} again={ready.again} />}
          {ready.problem?.status === 503 && <p class="note"><b>Not ready:</b> it does not take new work until each check passes.</p>}
          {checks.map((each) => <div class="check" key={each.name}><Glyph name={GLYPH[each.mark]} kind={each.mark} /><b>{each.name}</b><span class={each.mark === "good" ? "soft" : each.mark}><span class="sr">{SAID[each.mark]}</span><Name>{each.text}</Name></span></div>)}
        </Panel>
        {status ? <><Latency status={status} /><Store status={status} /><Counts status={status} /></> : <Panel class="c6"><Answered answer={asked}>{() => null}</Answered></Panel>}
        <Terminal lines={["nexus status"]} />
      </div>
    </>
  );
}

function Latency({ status }: { status: Status }) {
  return (
    <Panel title="How quick is it?" class="c6">
      <Kv rows={[
        ["Decision", `p50 ${duration(status.decision_p50_us)}, p99 ${duration(status.decision_p99_us)}`],
        ["Commit", `p50 ${duration(status.commit_p50_us)}, p99 ${duration(status.commit_p99_us)}`],
        ["Decisions", count(num(status.decisions))],
        ["Policy", <>{status.policy}{status.fallback && <span class="bad"> · fallback to round-robin</span>}</>],
        ["Predictions", `${share(status.within_25)} within 25 %, P90 held ${share(status.p90_coverage, 1, 0.9)}`],
        ["Promises kept", share(status.eta_p90_coverage)],
        ["Clock", <><Time us={serverNow()} />{Math.abs(skew()) > 1e6 && <span class="faint"> · this browser is {duration(Math.abs(skew()))} {skew() > 0 ? "behind" : "ahead"}</span>}</>],
        ["Page", stream.value.state === "live" ? "one event stream, open" : "no event stream"],
      ]} />
    </Panel>
  );
}

function Store({ status }: { status: Status }) {
  return (
    <Panel title="Journal and memory" class="c6">
      <Kv rows={[
        ["Durability", status.durability],
        ["Journal position", count(num(status.journal_position))],
        ["Digest", <span class="mono">{status.digest}</span>],
        ["Memory", bytes(num(status.rss_bytes))],
        num(status.store_bytes) > 0 && ["Store", `${bytes(num(status.store_bytes))}: journal and history`],
        num(status.disk_free_bytes) > 0 && ["Disk", <span class={num(status.disk_full_unix_us) > 0 && num(status.disk_full_unix_us) - serverNow() < WEEK_US ? "warn" : ""}>{bytes(num(status.disk_free_bytes))} free{num(status.disk_full_unix_us) > 0 && <>; full in <span class="pred">{predicted(num(status.disk_full_unix_us) - serverNow())}</span> if it goes on so</>}</span>],
        ["History dropped", num(status.history_dropped) === 0 ? "no row" : <span class="warn">{count(num(status.history_dropped))} rows</span>],
        ["Stale reports", num(status.stale_reports) === 0 ? "none" : `${count(num(status.stale_reports))} refused`],
        ["Metrics", <a href={new URL("metrics", root).href} target="_blank" rel="noreferrer">for Prometheus</a>],
      ]} />
    </Panel>
  );
}

function Counts({ status }: { status: Status }) {
  return (
    <Panel title="Tasks since the beginning" class="c6">
      <Kv rows={[
        ["Submitted", count(num(status.submitted))], ["Succeeded", count(num(status.succeeded))], ["Dead", count(num(status.dead))],
        ["Cancelled", count(num(status.cancelled))], ["Expired", count(num(status.expired))],
        ["Waiting", `${count(num(status.waiting))}; nothing will start ${count(num(status.waiting_no_worker) + num(status.waiting_held) + num(status.waiting_paused))} of them`],
        ["Running", `${count(num(status.running))}; ${count(num(status.prefetched))} ready on their worker, ${count(num(status.paused))} paused`],
        ["Workers", `${count(status.workers_ready)} ready of ${count(status.workers_total)}`],
      ]} />
    </Panel>
  );
}
