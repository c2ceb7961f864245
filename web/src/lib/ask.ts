// A view of one answer of the server, asked again every so often while somebody looks.

import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Path, Problem, get, shedUntil, signedOut } from "./api.ts";
import { useCell } from "./cell.ts";
import { type Fleet, type Seen, workersOf } from "./columns.ts";
import { type Heard, link, refresh, want } from "./live.ts";
import { topicOf } from "./stream.ts";
import type { Series } from "./wire.ts";

export interface Answer<T> {
  data: T | undefined;
  problem: Problem | undefined;
  at: number;  // of the data, in the browser's milliseconds
  every: number;  // how often it is asked for; 0: once, or the stream tells when it changes
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
  return { data: mine ? state.data : undefined, problem: mine ? state.problem : undefined, at: mine ? state.at : 0, every, again };
}

const NEVER: Heard = { at: 0 };
function useTopic(name: string | null): Heard {
  const [state, setState] = useState<{ name: string | null; heard: Heard }>({ name: null, heard: NEVER });
  useEffect(() => {
    if (name === null) return;
    const { cell, leave } = want(name);
    const take = (heard: Heard) => setState({ name, heard });
    take(cell.value);
    const stop = cell.follow(take);
    return () => {
      stop();
      leave();
    };
  }, [name]);
  return state.name === name ? state.heard : NEVER;
}

// The same, as the stream tells it. Asked for every so often where no topic tells it, and where the stream tells nothing yet.
const LATE_MS = 4000;
export function useLive<T>(path: Path<T> | null, every = 2000): Answer<T> {
  const topic = path === null ? null : topicOf(path);
  const told = useTopic(topic);
  const { state } = useCell(link);
  const [late, setLate] = useState<string | null>(null);
  const silent = told.at === 0;
  useEffect(() => {
    if (topic === null || !silent) return;
    const timer = setTimeout(() => setLate(topic), LATE_MS);
    return () => clearTimeout(timer);
  }, [topic, silent]);
  const without = silent && (late === topic || !["live", "connecting"].includes(state));
  const asked = useAnswer<T>(topic === null || without ? path : null, every);
  const again = useCallback(() => {
    if (topic === null || path === null) asked.again();
    else void refresh(topic, path);
  }, [topic, path, asked.again]);
  if (topic === null || (silent && without)) return { ...asked, again };
  return { data: told.data as T | undefined, problem: told.problem, at: told.at, every: 0, again };
}

// The points of the newest minute.
export function useSeries(): Series | undefined {
  return useTopic("series").data as Series | undefined;
}

// All workers, as columns tell them. Undefined: not told yet.
export function useFleet(): readonly Seen[] | undefined {
  const told = useTopic("fleet");
  return useMemo(() => (told.data === undefined ? undefined : workersOf(told.data as Fleet)), [told]);
}
