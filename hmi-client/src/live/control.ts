/** What a control can be set to. */
import type { ControlInfo } from "../gen/scadapb/v1/scada_pb";

export const STEP = 3;
export const SETPOINT = 4;

const PLAIN: Record<number, { value: number; label: string }[]> = {
  1: [{ value: 0, label: "off" }, { value: 1, label: "on" }],
  2: [{ value: 1, label: "open" }, { value: 2, label: "close" }],
  [STEP]: [{ value: 1, label: "lower" }, { value: 2, label: "raise" }],
};

/** Values of a command with their names: the model's, else those of its kind. */
export function controlChoices(control: ControlInfo): { value: number; label: string }[] {
  const named = Object.entries(control.states);
  return named.length > 0 ? named.map(([value, label]) => ({ value: Number(value), label })) : (PLAIN[control.kind] ?? []);
}
