/** Alarms and events. The server's list is the truth: an event that concerns an alarm makes the page fetch the list again. */
import {
  AcknowledgeRequestSchema,
  AlarmServiceRequestSchema,
  ShelveRequestSchema,
  UnshelveRequestSchema,
  type AlarmInfo,
  type EventInfo,
} from "../gen/scadapb/v1/scada_pb";
import { server, unsigned } from "./server.svelte";

export const Phase = { UnackActive: 1, AckActive: 2, UnackReturned: 3 } as const;

const ACKNOWLEDGED = 10;

/** Events of this kind say that an alarm was suppressed or is so no more. */
export const SUPPRESSED = 18;

/** Kinds that change the list of alarms whatever else they carry. */
const CONCERNS = new Set([ACKNOWLEDGED, SUPPRESSED]);

/** Events the page keeps; older ones are asked for. */
const KEEP = 5000;

/** Time in which further events join one fetch of the list. */
const GATHER_MS = 120;

/** The sound repeats until it is silenced. */
const REPEAT_MS = 5000;

/** What an alarm is called whether it stands or not: its object and key. */
export interface AlarmName {
  mrid: string;
  key: string;
}

export const unacknowledged = (alarm: AlarmInfo): boolean => alarm.phase !== Phase.AckActive;

class Alarms {
  list: AlarmInfo[] = $state.raw([]);
  /** Active alarms that are suppressed, and therefore not in the list. */
  suppressed = $state(0);
  /** Newest first. */
  events: EventInfo[] = $state.raw([]);
  /** Newest first. */
  unacknowledged = $derived(this.list.filter(unacknowledged));
  /** Unacknowledged, by class. */
  counts = $derived(
    this.unacknowledged.reduce((counts, alarm) => counts.with(alarm.alarmClass, (counts[alarm.alarmClass] ?? 0) + 1), [0, 0, 0, 0, 0, 0]),
  );
  private silenced: Set<bigint> = $state.raw(new Set());
  sounding = $derived(this.unacknowledged.some((alarm) => alarm.alarmClass <= 2 && !this.silenced.has(alarm.alarmId)));
  private audio: AudioContext | undefined;
  private gathering = false;
  /** The last event the list includes: what was raised again after it, nobody has seen here. */
  private seen = 0n;

  constructor() {
    void server.keep(() => this.follow());
    // Not in an animation frame: a hidden window must sound, too.
    setInterval(() => this.sound(), REPEAT_MS);
    const unlock = () => (this.audio ??= new AudioContext());
    addEventListener("pointerdown", unlock, { once: true });
    addEventListener("keydown", unlock, { once: true });
  }

  private async follow(): Promise<void> {
    const last = await this.load();
    const recent = await server.events.listEvents({ limit: 1000 });
    this.events = recent.events;
    for await (const batch of server.events.subscribe({ afterId: last })) {
      if (batch.events.length > 0) this.take(batch.events);
    }
  }

  private take(events: EventInfo[]): void {
    const newest = this.events[0]?.eventId ?? 0n;
    const fresh = events.filter((event) => event.eventId > newest).reverse();
    this.events = [...fresh, ...this.events].slice(0, KEEP);
    if (events.some((event) => event.alarmId > 0n || CONCERNS.has(event.kind))) this.gather();
    server.happened(new Set(events.map((event) => event.kind)));
  }

  private gather(): void {
    if (this.gathering) return;
    this.gathering = true;
    setTimeout(() => {
      this.gathering = false;
      this.load().catch(() => setTimeout(() => this.gather(), 1000));
    }, GATHER_MS);
  }

  private async load(): Promise<bigint> {
    const before = this.sounding;
    const reply = await server.events.listAlarms({});
    this.list = reply.alarms.toSorted((a, b) => (a.alarmId < b.alarmId ? 1 : -1));
    this.suppressed = reply.suppressed;
    this.seen = reply.lastEventId;
    if (!before) this.sound();
    return reply.lastEventId;
  }

  /** Acknowledge exactly these; the rows turn when the server's event comes back. Returns the ids the server does not know. */
  async acknowledge(ids: bigint[]): Promise<bigint[]> {
    if (ids.length === 0) return [];
    return (await server.events.acknowledge(unsigned(AcknowledgeRequestSchema, { alarmIds: ids, lastEventId: this.seen }))).unknown;
  }

  shelve = (alarms: AlarmName[], durationS: number, reason: string) =>
    server.events.shelve(unsigned(ShelveRequestSchema, { alarms, durationS, reason }));
  unshelve = (alarms: AlarmName[]) => server.events.unshelve(unsigned(UnshelveRequestSchema, { alarms }));
  setService = (alarms: AlarmName[], outOfService: boolean, reason: string) =>
    server.events.setAlarmService(unsigned(AlarmServiceRequestSchema, { alarms, outOfService, reason }));

  /** Quiet until a new alarm of the classes that sound; nothing is acknowledged. */
  silence(): void {
    this.silenced = new Set(this.unacknowledged.map((alarm) => alarm.alarmId));
  }

  private sound(): void {
    if (!this.sounding || this.audio === undefined) return;
    const accident = this.unacknowledged.some((alarm) => alarm.alarmClass === 1 && !this.silenced.has(alarm.alarmId));
    const start = this.audio.currentTime;
    for (let beep = 0; beep < (accident ? 4 : 2); beep++) {
      const tone = this.audio.createOscillator();
      const level = this.audio.createGain();
      tone.frequency.value = accident ? (beep % 2 ? 700 : 950) : 620;
      level.gain.setValueAtTime(0.15, start + 0.25 * beep);
      level.gain.setValueAtTime(0, start + 0.25 * beep + 0.18);
      tone.connect(level).connect(this.audio.destination);
      tone.start(start + 0.25 * beep);
      tone.stop(start + 0.25 * beep + 0.2);
    }
  }
}

export const alarms = new Alarms();
