// A task beside the list.

import { explainPath } from "../lib/api.ts";
import { useAnswer } from "../lib/ask.ts";
import { predictionOf } from "../lib/band.ts";
import { num } from "../lib/format.ts";
import { hasEnded, sinceStart, stateOf } from "../lib/words.ts";
import { Band, Kv, Name, Pill, TaskLink, Time, TypeLink, Until, WorkerLink, useNow } from "./parts.tsx";
import { Answered } from "./states.tsx";
import { TaskActs } from "./taskacts.tsx";

export function Peek({ id, onClose }: { id: string; onClose: () => void }) {
  const answer = useAnswer(explainPath(id), 2000);
  const now = useNow();
  return (
    <aside class="panel inspect" aria-label="Task beside the list">
      <header><h2><TaskLink id={id} /></h2><span class="grow" /><button type="button" class="btn tiny quiet" onClick={onClose}>Close</button></header>
      <div class="body">
        <Answered answer={answer}>
          {({ task, summary }) => (
            <>
              <div class="row"><Pill state={stateOf(task)} /><TypeLink name={task.type} /></div>
              <p class="note"><Name>{summary}</Name></p>
              <div class="row"><TaskActs task={task} onDone={answer.again} /></div>
              <Band elapsed={sinceStart(task, now)} {...predictionOf(task)} />
              <Kv rows={[
                ["Tenant", <Name>{task.tenant}</Name>], ["Queue", <Name>{task.queue}</Name>], ["Priority", task.priority],
                ["Submitted", <Time us={num(task.submitted_unix_us)} />],
                !hasEnded(task) && ["Done", <Until us={num(task.eta?.finish_p50_unix_us)} />],
                ["Worker", <WorkerLink name={task.attempts?.at(-1)?.worker ?? ""} />],
              ]} />
            </>
          )}
        </Answered>
      </div>
    </aside>
  );
}
