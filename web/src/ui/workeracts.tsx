// What can be done with a worker, and what it would mean.

import { send } from "../lib/api.ts";
import { useCell } from "../lib/cell.ts";
import { plural } from "../lib/format.ts";
import { serverNow } from "../lib/live.ts";
import { until } from "../lib/time.ts";
import { may, me } from "../lib/identity.ts";
import type { Worker } from "../lib/wire.ts";
import { breakerOpen, workerState } from "../lib/words.ts";
import { type Act, ActButton } from "./dialog.tsx";
import { visible } from "./parts.tsx";

export function WorkerActs({ worker, onDone }: { worker: Worker; onDone?: () => void }) {
  const allowed = may(useCell(me), "operator");
  const state = workerState(worker);
  const free = Math.max(0, worker.slots - worker.running);
  const act = (verb: string, action: string, effect: string, danger = false): Act => ({
    title: `${verb} ${visible(worker.name)}`, effect: <p>{effect}</p>, verb, danger, onDone,
    carryOut: async (by) => {
      await send("post", "/v1/workers/{name}/{action}", { name: worker.name, action }, by);
      return undefined;
    },
  });
  const runs = `${plural(worker.running, "running task")} ${worker.running === 1 ? "ends" : "end"} normally`;
  const rows = {
    drain: () => act("Drain", "drain", `It starts nothing new; ${runs}. ${plural(free, "free slot")} ${free === 1 ? "is" : "are"} lost to the fleet. It leaves when it is empty${worker.empty_at_unix_us && worker.empty_at_unix_us !== "0" ? `, most likely ${until(Number(worker.empty_at_unix_us), serverNow())}` : ""}.`),
    cordon: () => act("Cordon", "cordon", `It gets no new tasks until somebody lifts that; ${runs}. ${plural(free, "free slot")} ${free === 1 ? "is" : "are"} lost to the fleet.`),
    uncordon: () => act("Uncordon", "uncordon", `It takes new tasks again: ${plural(free, "free slot")}.`),
    close: () => act("Close the breaker of", "close-breaker", "It gets work as if it had never been slow. What spoke against it is forgotten; when it goes on like that, the breaker opens again."),
    forget: () => act("Forget", "forget", "Its name, its learned speed and its breaker are forgotten. If it comes back it begins anew.", true),
  };
  const button = (text: string, make: () => Act, danger = false) => <ActButton text={text} act={make} may={allowed} role="operator" danger={danger} />;
  if (state === "gone") return <div class="row">{button("Forget…", rows.forget, true)}</div>;
  const stopped = state === "cordoned" || state === "draining";
  return <div class="row">{breakerOpen(worker) && button("Close its breaker…", rows.close)}{state !== "draining" && button("Drain…", rows.drain)}{stopped ? button("Uncordon…", rows.uncordon) : button("Cordon…", rows.cordon)}</div>;
}
