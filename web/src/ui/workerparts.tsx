// What is told about one worker, beside the map and on its own page.

import { useAnswer } from "../lib/ask.ts";
import { pathOf } from "../lib/api.ts";
import { predictionOf } from "../lib/band.ts";
import { bytes, duration, factor, num, plural, share } from "../lib/format.ts";
import { serverNow } from "../lib/live.ts";
import { link } from "../lib/router.ts";
import type { TaskPage, Worker } from "../lib/wire.ts";
import { breakerOpen, condition, sentence, sinceStart, slowness, workerState } from "../lib/words.ts";
import { Ago, Band, Kv, Labels, Name, PredictedTime, Time, Until, useNow } from "./parts.tsx";
import { Answered } from "./states.tsx";

const TASKS_MS = 2000;

export function speedText(worker: Worker): string {
  const slow = slowness(worker);
  return slow > 1.05 ? "slower than average" : slow < 0.95 ? "faster than average" : "about average";
}
export function sayWorker(worker: Worker): string {
  return `${worker.name}, ${condition(worker)}, ${worker.running} of ${worker.slots} slots taken, used ${share(worker.utilization)}`;
}

export function WorkerNote({ worker }: { worker: Worker }) {
  const state = workerState(worker);
  const [head, text] = breakerOpen(worker) && state !== "gone"
    ? [worker.breaker === "open" ? "The breaker is open." : "The breaker is trying it out.", `${worker.breaker_reason ? sentence(worker.breaker_reason) + " " : ""}Its work goes to others; single tasks try it, and the first that is on time closes it.`]
    : state === "draining" ? ["Draining.", "It finishes what runs and starts nothing new."]
    : state === "cordoned" ? ["Cordoned.", "No new work until somebody lifts it."]
    : state === "suspect" ? ["Silent.", "It gets no new work. If it stays silent, its tasks run elsewhere when their leases end."]
    : state === "gone" ? ["Not connected.", "What it ran was given to others after its lease."] : ["", ""];
  if (head === "") return null;
  const trial = breakerOpen(worker) ? num(worker.next_trial_unix_us) : 0;
  return <p class="note"><b>{head} </b><Name>{text}</Name>{trial > 0 && <> The next trial: <Until us={trial} />.</>}{breakerOpen(worker) && num(worker.breaker_since_unix_us) > 0 && <> So since <Time us={num(worker.breaker_since_unix_us)} />.</>}</p>;
}

export function WorkerFacts({ worker }: { worker: Worker }) {
  const memory = num(worker.resources?.memory_bytes);
  const done = num(worker.succeeded) + num(worker.failed);
  return (
    <Kv rows={[
      ["Labels", <Labels labels={worker.labels} />],
      ["Slots", `${worker.running} of ${worker.slots} taken`],
      worker.paused > 0 && ["Paused", `${plural(worker.paused, "attempt")}, in no slot`],
      worker.prefetched > 0 && ["Ready beyond", `${plural(worker.prefetched, "attempt")} until a slot is free`],
      num(worker.state_since_unix_us) > 0 && ["So since", <><Time us={num(worker.state_since_unix_us)} />{worker.state_author && <> by <Name>{worker.state_author}</Name></>}{worker.state_reason && <>: <Name>{worker.state_reason}</Name></>}</>],
      num(worker.empty_at_unix_us) > 0 && ["Empty about", <PredictedTime us={num(worker.empty_at_unix_us)} />],
      ["Used, 30 s", share(worker.utilization)],
      ["Speed", <>{factor(slowness(worker))}<span class="faint"> · {speedText(worker)}</span></>],
      ["Runs", done === 0 ? "none yet" : `${done.toLocaleString("en")}, ${share(num(worker.failed) / done, 1)} failed`],
      worker.failures_recent > 0 && ["Failed lately", <span class="warn">{worker.failures_recent} of its last 36</span>],
      ["Processor, memory", `${share(worker.cpu_usage)}, ${share(worker.memory_usage)}`],
      memory > 0 && ["Offers", `${(num(worker.resources?.cpu_milli) / 1000).toLocaleString("en")} cores, ${bytes(memory)}`],
      ...Object.entries(worker.resources?.custom ?? {}).map(([name, value]): [string, preact.ComponentChildren] => ["Offers", <Name>{`${name} ${value}`}</Name>]),
      (worker.types ?? []).length > 0 && ["Takes only", (worker.types ?? []).join(", ")],
      ["Host", <Name>{worker.hostname || "unknown"}</Name>],
      ["Version", <Name>{worker.version || "unknown"}</Name>],
      workerState(worker) !== "gone" && ["Connected", <>{duration(serverNow() - num(worker.connected_unix_us))}{worker.reconnects > 1 ? `, ${worker.reconnects} times in five minutes` : ""}</>],
      ["Heard", <Ago us={num(worker.last_heard_unix_us)} />],
      num(worker.turnaround_us) > 0 && ["Turnaround", `${duration(num(worker.turnaround_us))} from decision to start`],
      worker.rivals > 0 && ["Rivals", <span class="warn">{plural(worker.rivals, "process", "processes")} on <Name>{worker.rival_hostname || "unknown"}</Name> wanted this name</span>],
    ]} />
  );
}

export function RunningHere({ worker }: { worker: Worker }) {
  const answer = useAnswer<TaskPage>(pathOf("/v1/tasks", {}, { worker: worker.name, state: "running,assigned,paused", limit: 20 }), TASKS_MS);
  const now = useNow();
  return (
    <div>
      <div class="row" style={{ justifyContent: "space-between", marginBottom: ".375rem" }}>
        <h3>Running here</h3>
        <span class="row" style={{ gap: ".625rem" }}><span class="key"><i class="r" />so far</span><span class="key"><i class="p" />p50 to P90</span></span>
      </div>
      <Answered answer={answer} height="3rem">
        {(page) => (page.tasks ?? []).length === 0 ? <p class="faint small">Nothing.</p> : (
          <div class="running-here">
            {(page.tasks ?? []).map((task) => (
              <a href={link("tasks", task.id)} key={task.id} title={task.id}>
                <span class="clip"><Name>{task.type}</Name></span>
                <Band elapsed={sinceStart(task, now)} {...predictionOf(task)} />
                <span class="num nowrap"><Until us={num(task.eta?.finish_p50_unix_us)} /></span>
              </a>
            ))}
          </div>
        )}
      </Answered>
    </div>
  );
}
