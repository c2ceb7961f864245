// A view of one answer of the server, asked again every so often while somebody looks.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Path, Problem, get, shedUntil, signedOut } from "./api.ts";

export interface Answer<T> {
  data: T | undefined;
  problem: Problem | undefined;
  at: number;  // of the data, in the browser's milliseconds
  again: () => void;
}

const SHED_FACTOR = 4;
const missing = new Map<string, Problem>();  // routes that this server does not offer, until the page is loaded again
const routeOf = (path: string) => path.split("?")[0];

// `path` null: nothing is asked. `every` in milliseconds; 0: once. An answer of another path is dropped at once.
export function useAnswer<T>(path: Path<T> | null, every = 0): Answer<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; problem?: Problem; at: number }>({ path: null, at: 0 });
  const [turn, setTurn] = useState(0);
  const shown = useRef(path);
  shown.current = path;
  useEffect(() => {
    if (path === null) return;
    const absent = missing.get(routeOf(path));
    if (absent) return setState({ path, problem: absent, at: 0 });
    const stop = new AbortController();
    let timer = 0;
    const next = () => {
      if (every > 0 && !stop.signal.aborted) {
        const slower = Date.now() < shedUntil.value ? SHED_FACTOR : 1;
        timer = window.setTimeout(() => (document.hidden ? next() : void once()), every * slower);
      }
    };
    const once = async () => {
      try {
        const data = await get<T>(path, stop.signal);
        if (!stop.signal.aborted) setState({ path, data, at: Date.now() });
      } catch (error) {
        if (stop.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, "Error", String(error), "PAGE");
        setState((old) => ({ path, data: old.path === path ? old.data : undefined, at: old.at, problem }));
        if (problem.notOffered) missing.set(routeOf(path), problem);
        if (problem.notOffered || problem.status === 403) return;
      }
      next();
    };
    void once();
    const back = signedOut.follow((out) => !out && setTurn((n) => n + 1));
    return () => {
      stop.abort();
      clearTimeout(timer);
      back();
    };
  }, [path, every, turn]);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  const mine = state.path === path;
  return { data: mine ? state.data : undefined, problem: mine ? state.problem : undefined, at: mine ? state.at : 0, again };
}
