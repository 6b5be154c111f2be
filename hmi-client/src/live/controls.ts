/** What a control may be told, as an operator reads it. */
import type { ControlInfo } from "../gen/scadapb/v1/scada_pb";
import { word } from "../locale/texts.svelte";
import { number } from "./format";

export const SETPOINT = 4;

const PLAIN: Record<number, { value: number; label: string }[]> = {
  1: [{ value: 0, label: "off" }, { value: 1, label: "on" }],
  2: [{ value: 1, label: "open" }, { value: 2, label: "close" }],
  3: [{ value: 1, label: "lower" }, { value: 2, label: "raise" }],
};

/** Command values with their labels; none for a set-point. */
export function choices(control: ControlInfo): { value: number; label: string }[] {
  const states = Object.entries(control.states);
  return states.length > 0 ? states.map(([value, label]) => ({ value: Number(value), label })) : (PLAIN[control.kind] ?? []);
}

export function commandText(control: ControlInfo | undefined, value: number): string {
  if (control === undefined) return String(value);
  if (control.kind === SETPOINT) return `${number(value, control.unit)} ${control.unit}`;
  return word("state", choices(control).find((choice) => choice.value === value)?.label ?? value);
}
