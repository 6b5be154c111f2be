/** Numbers, states, times and ages as an operator reads them. */
import { PointKind, type PointInfo } from "../gen/scadapb/v1/scada_pb";
import { word } from "../locale/texts.svelte";
import { Quality } from "./quality";

export const NONE = "––";

const DECIMALS: Record<string, number> = { Hz: 3, kV: 2, MW: 1, Mvar: 1, MVAr: 1, MVA: 1, A: 0, "%": 1, "°C": 1, MWh: 1 };

/** A number with the decimals its unit deserves; NaN is shown as unknown. */
export function number(value: number, unit = "", decimals = DECIMALS[unit] ?? 2): string {
  return Number.isFinite(value) ? value.toFixed(decimals).replace("-", "−") : NONE;
}

const DOUBLE: Record<number, string> = { 0: "intermediate", 1: "open", 2: "closed", 3: "faulty" };

export const isAnalog = (kind: PointKind): boolean => kind === PointKind.ANALOG || kind === PointKind.COUNTER;

/** A point's value as text without its unit. */
export function valueText(point: PointInfo, value: number, quality: number): string {
  if (quality & Quality.NeverReceived || Number.isNaN(value)) return NONE;
  if (isAnalog(point.kind)) return number(value, point.unit);
  const label = point.states[value] ?? (point.kind === PointKind.DOUBLE ? DOUBLE[value] : undefined);
  return label === undefined ? String(value) : word("state", label);
}

const two = (n: number) => String(n).padStart(2, "0");

export function clock(ms: number, fraction = true): string {
  if (!(ms > 0)) return NONE;
  const d = new Date(ms);
  const text = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return fraction ? `${text}.${String(d.getMilliseconds()).padStart(3, "0")}` : text;
}

export function date(ms: number): string {
  if (!(ms > 0)) return NONE;
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** A moment of the day, with its date unless that is the day of `now`. */
export function moment(ms: number, now: number): string {
  return date(ms) === date(now) ? clock(ms, false) : `${date(ms)} ${clock(ms, false)}`;
}

/** The zone of all times shown: this machine's, e.g. UTC+8. */
export function zone(ms: number): string {
  const minutes = -new Date(ms).getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${two(rest)}` : ""}`;
}

/** 0.3 s, 42 s, 5 min, 3 h, 12 d. */
export function age(ms: number): string {
  if (!Number.isFinite(ms)) return NONE;
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${s.toFixed(0)} s`;
  if (s < 7200) return `${(s / 60).toFixed(0)} min`;
  if (s < 172_800) return `${(s / 3600).toFixed(0)} h`;
  return `${(s / 86_400).toFixed(0)} d`;
}

/** The measured quantity by its IEC 61970 measurementType, for short labels. */
export function quantity(type: string): string {
  const names: Record<string, string> = {
    ThreePhaseActivePower: "P",
    ThreePhaseReactivePower: "Q",
    ActivePower: "P",
    ReactivePower: "Q",
    Voltage: "U",
    LineToLineVoltage: "U",
    PhaseVoltage: "U",
    LineCurrent: "I",
    Current: "I",
    Frequency: "f",
    TapPosition: "tap",
  };
  return names[type] ?? "";
}

/** Hours and minutes at a place. */
export function clockIn(ms: number, zone: string): string {
  return new Intl.DateTimeFormat("en-GB", { timeZone: zone || undefined, hour: "2-digit", minute: "2-digit" }).format(ms);
}

/** What a field for date and time holds, in this machine's time. */
export function field(ms: number): string {
  const d = new Date(ms);
  return `${date(ms)}T${two(d.getHours())}:${two(d.getMinutes())}`;
}
