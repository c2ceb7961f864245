// The messages of proto/nexus/v1/nexus.proto as JSON has them: 64-bit numbers are strings. Only what the page reads.

export type I64 = string;

export interface Estimate { p50_us: I64; p90_us: I64; mean_us: I64; confidence: number; source: string }
export interface Eta {
  start_p50_unix_us: I64; start_p90_unix_us: I64;
  finish_p50_unix_us: I64; finish_p90_unix_us: I64; finish_p10_unix_us: I64;
}
export interface Waiting { reason: string; culprit: string; since_unix_us: I64; until_unix_us: I64; remedy: string }
export interface Attempt {
  number: number; attempt_id: string; fence: I64; worker: string;
  assigned_unix_us: I64; started_unix_us: I64; ended_unix_us: I64; run_us: I64;
  outcome: string; error: string; peak_memory_bytes: I64; predicted_us: I64; progress: number; progress_note: string;
}
export interface Task {
  id: string; type: string; tenant: string; queue: string; priority: number; state: string;
  submitted_unix_us: I64; finished_unix_us: I64; payload_bytes: I64;
  estimate?: Estimate; eta?: Eta; waiting?: Waiting; attempts?: Attempt[];
  failures: number; crashes: number; error: string; metadata?: Record<string, string>; redrive_of: string;
  run_us: I64; wait_us: I64; promise?: Eta;
}
export interface TaskPage { tasks?: Task[]; next_page_token?: string }

export interface Candidate { worker: string; score: number; factors?: Record<string, number> }
export interface Decision {
  number: I64; id: string; task_id: string; at_unix_us: I64; policy: string; model: string; worker: string;
  candidates?: Candidate[]; estimate?: Estimate; fallback: boolean; baseline_worker: string; reason: string;
  eligible_free: number; waiting: I64; rival_task_id: string; remaining_us: I64; ratio: number;
  runner_ups?: { task_id: string; behind_us: I64 }[]; lost_us: I64; saved_us: I64;
}
export interface DecisionPage { decisions?: Decision[]; next_page_token?: string }
export interface Explanation {
  task: Task; decision?: Decision; tasks_ahead: I64; work_ahead_us: I64;
  workers_eligible: number; workers_total: number; workers_excluded?: Record<string, number>; summary: string;
}

export interface Resources { cpu_milli: I64; memory_bytes: I64; gpu_milli: I64; custom?: Record<string, I64> }
export interface Worker {
  name: string; state: string; labels?: Record<string, string>; slots: number; running: number; resources?: Resources;
  types?: string[]; speed: number; utilization: number; breaker: string; breaker_reason: string;
  succeeded: I64; failed: I64; version: string; hostname: string; connected_unix_us: I64; last_heard_unix_us: I64;
  cpu_usage: number; memory_usage: number; paused: number; rivals: number; rival_unix_us: I64; rival_hostname: string;
  reconnects: number; prefetched: number; turnaround_us: I64;
}

export interface ExpertStat { name: string; hit_rate: number; weight: number; estimate_us: I64 }
export interface TypeStat {
  type: string; samples: I64; p50_us: I64; p90_us: I64; mean_us: I64; within_25: number; p90_coverage: number;
  payload_slope: number; expert: string; drifting: boolean; drifts: I64; succeeded: I64; failed: I64;
  memory_p95_bytes: I64; experts?: ExpertStat[]; histogram_us?: I64[]; histogram_count?: I64[]; override_us: I64;
  size_name: string; trend: number; override_author: string; override_reason: string; override_expires_unix_us: I64;
}
export interface TypeList { types?: TypeStat[]; within_25: number; p90_coverage: number; trend: number; eta_p90_coverage: number }

export interface Status {
  version: string; uptime_us: I64; policy: string; durability: string; fallback: boolean; waiting: I64; running: I64;
  submitted: I64; succeeded: I64; dead: I64; cancelled: I64; expired: I64; workers_ready: number; workers_total: number;
  slots: number; utilization: number; within_25: number; p90_coverage: number; backlog_work_us: I64;
  drain_eta_unix_us: I64; journal_position: I64; digest: string; decision_p50_us: number; decision_p99_us: number;
  commit_p50_us: number; commit_p99_us: number; stale_reports: I64; history_dropped: I64; rss_bytes: I64;
  decisions: I64; eta_p90_coverage: number; now_unix_us: I64; paused: I64; waiting_no_worker: I64;
  waiting_paused: I64; waiting_held: I64; prefetched: I64;
}

export interface ConfigChange { key: string; before: string; after: string }
export interface SchedulerConfig { etag: string; toml: string; version?: number; changes?: ConfigChange[]; restart_keys?: string[] }
export interface ConfigVersion {
  version: number; at_unix_us: I64; author: string; caller: string; reason: string; changes?: ConfigChange[]; toml: string;
}
export interface ConfigVersions { versions?: ConfigVersion[]; next_page_token?: string }
export interface Queue {
  name: string; paused: boolean; waiting: I64; running: I64; oldest_waiting_unix_us: I64; work_us: I64;
  waiting_max: I64; running_max: I64;
}
export interface Policy { name: string; meaning: string; active: boolean }
export interface Override {
  number: I64; kind: string; task_id: string; type: string; worker: string; boost_us: I64; author: string;
  reason: string; expires_unix_us: I64;
}
export interface AuditEntry {
  at_unix_us: I64; author: string; action: string; reason: string; before: string; after: string; hash: string;
  caller: string; number: I64;
}
export interface AuditPage { entries?: AuditEntry[]; next_page_token?: string }
export interface AuditVerdict { good: boolean; entries: I64; head: string; problem: string; problem_number: I64; oldest_unix_us: I64 }
export interface Identity {
  name: string; roles?: string[]; tenant: string; how: string; token_id: string; expires_unix_us: I64; open: boolean;
}
export interface ChangedTasks {
  changed: number; refused: number; more: boolean;
  tasks?: { id: string; new_id: string; error: string; code: string }[];
}
