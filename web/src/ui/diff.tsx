import type { ConfigChange } from "../lib/wire.ts";
import { visible } from "./parts.tsx";

export function Diff({ changes }: { changes: readonly ConfigChange[] }) {
  if (changes.length === 0) return <p class="faint small">Nothing changes.</p>;
  return (
    <div class="diff" role="group" aria-label="What changes">
      {changes.map((each) => <>{each.before !== "" && <del>{visible(`${each.key} = ${each.before}`)}</del>}{each.after !== "" && <ins>{visible(`${each.key} = ${each.after}`)}</ins>}</>)}
    </div>
  );
}
