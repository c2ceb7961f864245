// Who are you? A token opens the page; it is exchanged for a session of this browser and not kept.

import { useState } from "preact/hooks";
import type { PageProps } from "../app.tsx";
import { Problem, session } from "../lib/api.ts";
import { learnWho } from "../lib/identity.ts";
import { go, route } from "../lib/router.ts";
import { at } from "../lib/url.ts";
import { Panel } from "../ui/parts.tsx";
import { ErrorBox } from "../ui/states.tsx";

export default function SignIn(_: PageProps) {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await session(token.trim());
      setToken("");
      await learnWho();
      if (route.value.place.page === "signin") go(at("overview"), "replace");
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, "Error", String(error), "PAGE"));
    }
    setBusy(false);
  };
  return (
    <div class="signin">
      <Panel title="Sign in" heading={1}>
        <form class="stack" onSubmit={submit}>
          <p class="soft">This server wants to know who you are. Whoever runs it makes tokens with <code class="mono">nexus token create</code>.</p>
          <label class="field">Token<input class="text" type="password" name="token" value={token} required autocomplete="current-password" autofocus onInput={(e) => setToken(e.currentTarget.value)} /></label>
          {problem && (problem.status === 401 ? <p class="note" role="alert"><b>That token is not known</b>, or it has expired or been revoked.</p> : <ErrorBox problem={problem} />)}
          <div class="row"><button type="submit" class="btn first" disabled={busy || token.trim() === ""}>Sign in</button></div>
        </form>
      </Panel>
    </div>
  );
}
