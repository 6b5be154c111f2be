/** What a control is told, as an operator reads it. */
import type { ControlInfo } from "../gen/scadapb/v1/scada_pb";
import { word } from "../locale/texts.svelte";
import { controlChoices, SETPOINT } from "./control";
import { number } from "./format";

export function commandText(control: ControlInfo | undefined, value: number): string {
  if (control === undefined) return String(value);
  if (control.kind === SETPOINT) return `${number(value, control.unit)} ${control.unit}`;
  return word("state", controlChoices(control).find((choice) => choice.value === value)?.label ?? value);
}
