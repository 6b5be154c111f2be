/** What happened around a time: events and changes in one order. */
import type { EventInfo, RecallChanges, RecallHead, PointFrame } from "../gen/scadapb/v1/scada_pb";
import { server } from "./server.svelte";
import { toMs } from "./values";

/** One line: an event, or a change of a value. */
export interface Line {
  ms: number;
  event?: EventInfo;
  pid: number;
  value: number;
  quality: number;
}

export interface Recalled {
  head?: RecallHead;
  start?: PointFrame;
  lines: Line[];
}

const ns = (ms: number): bigint => BigInt(Math.round(ms)) * 1_000_000n;

function changed(part: RecallChanges): Line[] {
  return part.timeNs.map((time, index) => ({
    ms: toMs(time),
    pid: part.pid[index]!,
    value: part.value[index]!,
    quality: part.quality[index]!,
  }));
}

/** Ask the server for everything around a time; lines come sorted by source time. */
export async function recall(atMs: number, beforeS: number, afterS: number, station: string): Promise<Recalled> {
  const found: Recalled = { lines: [] };
  for await (const { part } of server.events.recall({ atNs: ns(atMs), beforeS, afterS, station })) {
    if (part.case === "head") found.head = part.value;
    else if (part.case === "start") found.start = part.value;
    else if (part.case === "events")
      for (const event of part.value.events)
        found.lines.push({ ms: toMs(event.sourceTimeNs || event.timeNs), event, pid: event.pid, value: event.value, quality: 0 });
    else if (part.case === "changes") for (const line of changed(part.value)) found.lines.push(line);
  }
  found.lines.sort((a, b) => a.ms - b.ms);
  return found;
}

/** A file for the operator to keep. */
export function download(name: string, text: string): void {
  save(name, new Blob(["\uFEFF", text], { type: "text/csv" }));
}

/** Content for the operator to keep. */
export function save(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** A field of CSV after RFC 4180; what a spreadsheet would take for a formula is made text. */
export function field(text: string | number): string {
  const plain = typeof text === "string" && /^[=+\-@]/.test(text) ? `'${text}` : String(text);
  return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}
