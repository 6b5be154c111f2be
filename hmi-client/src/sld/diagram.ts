/**
 * A station's single-line diagram, drawn offline and bound live: switch symbols, energised colours, P/Q/U texts, quality marks.
 * The layer writes into the SVG itself; values come coalesced, once per animation frame (see `live/values`).
 */
import { PointKind, type ControlInfo, type PointInfo, type StationInfo } from "../gen/scadapb/v1/scada_pb";
import { isAnalog, quantity, valueText } from "../live/format";
import { isBad, marks } from "../live/quality";
import { values } from "../live/values";
import { level } from "./palette";
import { parseDrawing } from "./drawing";
import { stateOf, Zones, type State } from "./zones";

interface Node {
  id: string;
  vid?: string;
  componentType?: string;
  equipmentId?: string;
}

interface FeederInfo {
  id: string;
  equipmentId?: string;
  componentType?: string;
  side?: string;
}

export interface Metadata {
  nodes: Node[];
  wires: { id: string; nodeId1: string; nodeId2: string }[];
  feederInfos?: FeederInfo[];
}

const SWITCHES = new Set(["BREAKER", "DISCONNECTOR", "LOAD_BREAK_SWITCH", "GROUND_DISCONNECTION"]);
/** What cannot make its conductor live. */
const PASSIVE = new Set([...SWITCHES, "NODE", "BUSBAR_SECTION", "LOAD", "CAPACITOR", "INDUCTOR"]);
const SVG = "http://www.w3.org/2000/svg";

export const bare = (mrid: string): string => mrid.replace(/^urn:uuid:/, "").replace(/^#/, "").replace(/^_/, "");

/** Position of a switch; undefined = not known. */
export function position(point: PointInfo): "open" | "closed" | "between" | undefined {
  const value = values.of(point.pid);
  if (Number.isNaN(value)) return undefined;
  const label = point.states[value]?.toLowerCase();
  if (label === "open" || label === "closed") return label;
  if (point.kind === PointKind.DOUBLE) return value === 1 ? "open" : value === 2 ? "closed" : "between";
  return value === 0 ? "open" : "closed";
}

export class Diagram {
  readonly svg: SVGSVGElement;
  readonly width: number;
  readonly height: number;
  private readonly stops: (() => void)[] = [];
  private readonly byEquipment = new Map<string, PointInfo[]>();
  private readonly zones: Zones;
  private readonly elements = new Map<string, Element[]>();
  private zonesDue = false;

  /**
   * @param svg text of the drawing
   * @param metadata what its elements stand for
   * @param onSelect called with the mRID of the equipment the operator picks
   */
  constructor(
    svg: string,
    private readonly metadata: Metadata,
    private readonly station: StationInfo,
    points: readonly PointInfo[],
    controls: readonly ControlInfo[],
    private readonly onSelect: (mrid: string) => void,
  ) {
    this.svg = parseDrawing(svg);
    const box = this.svg.viewBox.baseVal;
    this.width = box?.width || Number(this.svg.getAttribute("width")) || 800;
    this.height = box?.height || Number(this.svg.getAttribute("height")) || 600;
    for (const point of points) {
      const list = this.byEquipment.get(point.equipment);
      if (list) list.push(point);
      else this.byEquipment.set(point.equipment, [point]);
    }
    this.zones = new Zones(
      metadata.nodes.map((node) => ({ id: node.id, cuts: this.cuts(node), feeds: !PASSIVE.has(node.componentType ?? "") })),
      metadata.wires,
    );
    const numbers = new Map(controls.filter((control) => control.deviceNumber).map((control) => [control.equipment, control.deviceNumber]));
    for (const node of metadata.nodes) this.bindNode(node, numbers);
    for (const wire of metadata.wires) this.colour(this.find(wire.id), this.kvOf(metadata.nodes.find((node) => node.id === wire.nodeId1)?.vid));
    for (const info of metadata.feederInfos ?? []) this.bindFeederInfo(info);
    this.colourByClass();
    this.paintZones();
  }

  private find(id: string): Element | null {
    return this.svg.querySelector(`[id="${CSS.escape(id)}"]`);
  }

  private cuts(node: Node): boolean {
    // The earthing switch hangs beside its conductor; a transformer's leg is the conductor up to its winding.
    return (SWITCHES.has(node.componentType ?? "") && node.componentType !== "GROUND_DISCONNECTION") || this.transforms(node);
  }

  private transforms(node: Node): boolean {
    return /TRANSFORMER$/.test(node.componentType ?? "");
  }

  private kvOf(vid: string | undefined): number | undefined {
    return this.station.voltageLevels.find((one) => bare(one.mrid) === bare(vid ?? "") || one.name === vid)?.nominalKv;
  }

  private colour(element: Element | null, kv: number | undefined): void {
    if (element instanceof SVGElement && kv !== undefined) element.style.setProperty("--vl", `var(--kv-${level(kv)})`);
  }

  /** Windings carry no voltage level in the metadata, but a class that names a span of nominal voltages. */
  private colourByClass(): void {
    for (const element of this.svg.querySelectorAll(".sld-winding, .sld-pst")) {
      const span = /sld-vl(\d+)to(\d+)/.exec(element.getAttribute("class") ?? "");
      if (!span) continue;
      const found = this.station.voltageLevels.filter((one) => one.nominalKv > Number(span[1]) && one.nominalKv <= Number(span[2]));
      if (found.length > 0) this.colour(element, found[0]!.nominalKv);
    }
  }

  private watch(point: PointInfo, paint: () => void): void {
    this.stops.push(values.watch(point.pid, paint));
    paint();
  }

  private points(node: { equipmentId?: string }): PointInfo[] {
    return this.byEquipment.get(bare(node.equipmentId ?? "")) ?? [];
  }

  private bindNode(node: Node, numbers: ReadonlyMap<string, string>): void {
    const element = this.find(node.id);
    if (!element) return;
    this.colour(element, this.kvOf(node.vid));
    if (!node.equipmentId) return;
    const mrid = bare(node.equipmentId);
    const points = this.points(node);
    this.elements.set(mrid, [...(this.elements.get(mrid) ?? []), element]);
    this.pickable(element, mrid, numbers.get(mrid) ?? points[0]?.path ?? mrid);
    const energised = points.find((point) => point.measurementType === "EnergisedState");
    if (SWITCHES.has(node.componentType ?? "")) this.bindSwitch(node, element, points, numbers.get(mrid));
    else if (energised && !/TRANSFORMER/.test(node.componentType ?? "")) this.bindState(node, energised);
    if (node.componentType === "BUSBAR_SECTION") this.bindVoltage(element, points, this.kvOf(node.vid));
  }

  private pickable(element: Element, mrid: string, name: string): void {
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", name);
    element.setAttribute("data-testid", `sld-${mrid}`);
    element.classList.add("sld-pick");
    element.addEventListener("click", () => this.onSelect(mrid));
    element.addEventListener("keydown", (event) => {
      if ((event as KeyboardEvent).key === "Enter") this.onSelect(mrid);
    });
    this.addHitArea(element);
  }

  /** Symbols are thin: an unseen square makes them easy to hit. */
  private addHitArea(element: Element): void {
    if (element.querySelector(":scope > line")) return;
    const area = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x: "-4", y: "-4", width: "24", height: "24", class: "sld-hit" })) area.setAttribute(name, value);
    element.prepend(area);
  }

  private bindSwitch(node: Node, element: Element, points: PointInfo[], deviceNumber: string | undefined): void {
    const point = points.find((one) => one.measurementType === "SwitchPosition");
    const drawn = element.querySelector(".sld-device-number");
    const name = drawn ? "" : (deviceNumber ?? "");
    const label = this.text(element, node.componentType === "BREAKER" ? 22 : 11, node.componentType === "BREAKER" ? 14 : 8, "sld-number");
    label.textContent = name;
    if (!point) {
      element.classList.add("sld-unmeasured");
      return;
    }
    this.watch(point, () => {
      const where = position(point);
      const quality = values.qualityOf(point.pid);
      element.classList.toggle("sld-open", where === "open");
      element.classList.toggle("sld-closed", where === "closed");
      element.classList.toggle("sld-between", where === "between" || where === undefined);
      element.classList.toggle("sld-doubt", isBad(quality));
      element.setAttribute("data-position", where ?? "unknown");
      label.textContent = name + marks(quality);
      this.zones.setSwitch(node.id, isBad(quality) || where === "between" ? undefined : where);
      this.scheduleZones();
    });
  }

  private bindState(node: Node, point: PointInfo): void {
    this.watch(point, () => {
      this.zones.setState(node.id, stateOf(point, values.of(point.pid), values.qualityOf(point.pid)));
      this.scheduleZones();
    });
  }

  private bindVoltage(element: Element, points: PointInfo[], kv: number | undefined): void {
    const point = points.find((one) => quantity(one.measurementType) === "U" && isAnalog(one.kind));
    const label = element.querySelector("text");
    const name = label?.textContent ?? "";
    label?.remove();
    const text = this.text(element, 0, -12, "sld-bus-label");
    const title = document.createElementNS(SVG, "tspan");
    title.textContent = `${name}  `;
    const value = document.createElementNS(SVG, "tspan");
    value.setAttribute("class", "sld-measured");
    text.append(title, value);
    if (point) this.show(point, value, "", " kV");
    else value.textContent = kv === undefined ? "" : `(${kv} kV)`;
  }

  private bindFeederInfo(info: FeederInfo): void {
    const element = this.find(info.id);
    const text = element?.querySelector("text");
    if (!element || !text) return;
    text.textContent = "";
    const wanted = info.componentType === "ARROW_REACTIVE" ? "Q" : info.componentType === "ARROW_ACTIVE" ? "P" : info.componentType === "ARROW_CURRENT" ? "I" : "";
    if (wanted === "" || !info.equipmentId) return;
    const level_ = this.metadata.nodes.find((node) => info.id.startsWith(`${node.id}_95_ARROW`))?.vid;
    const point = this.choose(this.points(info).filter((one) => quantity(one.measurementType) === wanted && isAnalog(one.kind)), level_);
    text.setAttribute("class", "sld-measured");
    text.setAttribute("x", "9");
    if (point) this.show(point, text, `${wanted} `);
  }

  /** Of several ends of one equipment the one at this station and voltage level; none if that is not plain. */
  private choose(points: PointInfo[], vid: string | undefined): PointInfo | undefined {
    const here = points.filter((point) => point.station === this.station.name);
    if (here.length <= 1) return here[0];
    const name = this.station.voltageLevels.find((one) => bare(one.mrid) === bare(vid ?? ""))?.name;
    const same = here.filter((point) => point.path.split("/")[1] === name);
    return same.length === 1 ? same[0] : undefined;
  }

  private show(point: PointInfo, text: Element, prefix: string, suffix = ""): void {
    text.setAttribute("data-testid", `sld-value-${point.pid}`);
    this.watch(point, () => {
      const quality = values.qualityOf(point.pid);
      text.textContent = prefix + valueText(point, values.of(point.pid), quality) + suffix + marks(quality);
      text.classList.toggle("sld-doubt", isBad(quality));
    });
  }

  private text(element: Element, x: number, y: number, name: string): SVGTextElement {
    const text = document.createElementNS(SVG, "text");
    text.setAttribute("x", String(x));
    text.setAttribute("y", String(y));
    text.setAttribute("class", name);
    element.append(text);
    return text;
  }

  private scheduleZones(): void {
    if (this.zonesDue) return;
    this.zonesDue = true;
    queueMicrotask(() => this.paintZones());
  }

  private paintZones(): void {
    this.zonesDue = false;
    const states = this.zones.solve();
    for (const wire of this.metadata.wires) this.mark(this.find(wire.id), states.get(wire.id));
    for (const node of this.metadata.nodes) {
      if (!this.cuts(node)) this.mark(this.find(node.id), states.get(node.id));
    }
  }

  private mark(element: Element | null, state: State | undefined): void {
    element?.setAttribute("data-state", state ?? "unknown");
  }

  /** Hang the tags on their equipment; `tags` gives each one's short mark by mRID. */
  setTags(tags: ReadonlyMap<string, string>): void {
    for (const old of this.svg.querySelectorAll(".sld-tag")) old.remove();
    for (const [mrid, mark] of tags) {
      for (const element of this.elements.get(bare(mrid)) ?? []) {
        const text = this.text(element, -4, -3, "sld-tag");
        text.textContent = mark;
        text.setAttribute("data-testid", `sld-tag-${mrid}`);
      }
    }
  }

  /** Outline the selected equipment. */
  select(mrid: string): void {
    for (const element of this.svg.querySelectorAll(".sld-selected")) element.classList.remove("sld-selected");
    for (const element of this.elements.get(mrid) ?? []) {
      element.classList.add("sld-selected");
      element.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  /** End every watch. */
  close(): void {
    for (const stop of this.stops) stop();
  }
}
