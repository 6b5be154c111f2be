/**
 * The network of an area, laid out offline and bound live: voltage levels with station, voltage and state; lines and transformers
 * with state and active power at their first end. Everything is bound by mRID; what is not measured is drawn as unknown.
 */
import type { PointInfo, StationInfo, VoltageLevelInfo } from "../gen/scadapb/v1/scada_pb";
import { isAnalog, quantity, valueText } from "../live/format";
import { isBad, marks } from "../live/quality";
import { values } from "../live/values";
import { bare } from "./diagram";
import { parseDrawing } from "./drawing";
import { level } from "./palette";
import { stateOf, type State } from "./zones";

interface Node {
  svgId: string;
  equipmentId: string;
}

interface Edge {
  svgId: string;
  equipmentId: string;
  node1: string;
  node2: string;
}

export interface NetworkMetadata {
  nodes: Node[];
  edges: Edge[];
}

interface Place {
  station: StationInfo;
  level: VoltageLevelInfo;
}

const SVG = "http://www.w3.org/2000/svg";

/** State of several conductors as one: only what all of them say is known, and one that is live makes the place live. */
function joined(states: readonly State[]): State {
  if (states.includes("energised")) return "energised";
  const [first = "unknown", ...rest] = states;
  return rest.every((state) => state === first) ? first : "unknown";
}

export class NetworkMap {
  readonly svg: SVGSVGElement;
  readonly width: number;
  readonly height: number;
  private readonly stops: (() => void)[] = [];
  private readonly byEquipment = new Map<string, PointInfo[]>();
  private readonly places = new Map<string, Place>();
  private readonly elements = new Map<string, Element[]>();

  /**
   * @param svg text of the drawing
   * @param metadata what its elements stand for
   * @param onStation called with the name of the station the operator picks
   * @param onSelect called with the mRID of the equipment the operator picks
   */
  constructor(
    svg: string,
    metadata: NetworkMetadata,
    stations: readonly StationInfo[],
    points: readonly PointInfo[],
    private readonly onStation: (name: string) => void,
    private readonly onSelect: (mrid: string) => void,
  ) {
    this.svg = parseDrawing(svg);
    const box = this.svg.viewBox.baseVal;
    this.width = box?.width || 800;
    this.height = box?.height || 600;
    const levels = new Map<string, Place>();
    for (const station of stations) for (const one of station.voltageLevels) levels.set(bare(one.mrid), { station, level: one });
    for (const node of metadata.nodes) {
      const place = levels.get(bare(node.equipmentId));
      if (place) this.places.set(node.svgId, place);
    }
    for (const point of points) {
      const list = this.byEquipment.get(point.equipment);
      if (list) list.push(point);
      else this.byEquipment.set(point.equipment, [point]);
    }
    const busbars = new Map<string, PointInfo[]>();
    for (const point of points) {
      // The first two names of a path are its station and its voltage level.
      const key = point.path.split("/").slice(0, 2).join("/");
      if (point.measurementType === "EnergisedState" || quantity(point.measurementType) === "U") busbars.set(key, [...(busbars.get(key) ?? []), point]);
    }
    for (const edge of metadata.edges) this.bindEdge(edge);
    for (const node of metadata.nodes) this.bindNode(node, busbars);
  }

  private find(id: string): Element | null {
    return this.svg.querySelector(`[id="${CSS.escape(id)}"]`);
  }

  private colour(element: Element | undefined, place: Place | undefined): void {
    if (element instanceof SVGElement && place) element.style.setProperty("--vl", `var(--kv-${level(place.level.nominalKv)})`);
  }

  private watch(points: readonly PointInfo[], paint: () => void): void {
    for (const point of points) this.stops.push(values.watch(point.pid, paint));
    paint();
  }

  private state(points: readonly PointInfo[], elements: readonly Element[]): void {
    const told = points.filter((point) => point.measurementType === "EnergisedState");
    this.watch(told, () => {
      const state = joined(told.map((point) => stateOf(point, values.of(point.pid), values.qualityOf(point.pid))));
      for (const element of elements) element.setAttribute("data-state", state);
    });
  }

  private bindNode(node: Node, busbars: ReadonlyMap<string, PointInfo[]>): void {
    const element = this.find(node.svgId);
    const place = this.places.get(node.svgId);
    if (!element || !place) return;
    this.colour(element, place);
    const points = busbars.get(`${place.station.name}/${place.level.name}`) ?? [];
    this.state(points, [element]);
    this.pickable(element, `${place.station.name} ${place.level.name}`, () => this.onStation(place.station.name));
    element.setAttribute("data-testid", `map-${place.station.name}-${place.level.name}`);
    const name = this.text(element, 40, -8, "map-name");
    name.textContent = `${place.station.name} ${place.level.nominalKv}`;
    const voltage = points.find((point) => quantity(point.measurementType) === "U" && isAnalog(point.kind));
    if (voltage) this.show(voltage, this.text(element, 40, 44, "map-value"), "", " kV");
  }

  private bindEdge(edge: Edge): void {
    const element = this.find(edge.svgId);
    if (!element) return;
    const mrid = bare(edge.equipmentId);
    const points = this.byEquipment.get(mrid) ?? [];
    const halves = [...element.querySelectorAll("polyline")];
    const rings = [...element.querySelectorAll("circle")];
    const ends = [this.places.get(edge.node1), this.places.get(edge.node2)];
    for (const parts of [halves, rings]) parts.forEach((part, index) => this.colour(part, ends[index] ?? ends[0] ?? ends[1]));
    this.state(points, [...halves, ...rings]);
    this.elements.set(mrid, [...(this.elements.get(mrid) ?? []), element]);
    this.pickable(element, points[0]?.path ?? mrid, () => this.onSelect(mrid));
    element.setAttribute("data-testid", `map-edge-${mrid}`);
    const half = halves[0];
    const flow = this.flow(points, ends[0]);
    if (!half || !flow || half.points.numberOfItems < 2) return;
    const [from, to] = [half.points.getItem(0), half.points.getItem(half.points.numberOfItems - 1)];
    const text = this.text(element, from.x + (to.x - from.x) * 0.62, from.y + (to.y - from.y) * 0.62, "map-value map-flow");
    this.show(flow, text, "", "");
  }

  /** Active power at the end in a voltage level; none if that is not plain. */
  private flow(points: readonly PointInfo[], place: Place | undefined): PointInfo | undefined {
    const here = points.filter((point) => quantity(point.measurementType) === "P" && isAnalog(point.kind) && point.station === place?.station.name);
    if (here.length <= 1) return here[0];
    const same = here.filter((point) => point.path.split("/")[1] === place?.level.name);
    return same.length === 1 ? same[0] : undefined;
  }

  private pickable(element: Element, name: string, pick: () => void): void {
    element.setAttribute("tabindex", "0");
    element.setAttribute("role", "button");
    element.setAttribute("aria-label", name);
    element.classList.add("map-pick");
    element.addEventListener("click", pick);
    element.addEventListener("keydown", (event) => {
      if ((event as KeyboardEvent).key === "Enter") pick();
    });
  }

  private show(point: PointInfo, text: Element, prefix: string, suffix: string): void {
    text.setAttribute("data-testid", `map-value-${point.pid}`);
    this.watch([point], () => {
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

  /** Outline the selected equipment. */
  select(mrid: string): void {
    for (const element of this.svg.querySelectorAll(".map-selected")) element.classList.remove("map-selected");
    for (const element of this.elements.get(bare(mrid)) ?? []) element.classList.add("map-selected");
  }

  /** End every watch. */
  close(): void {
    for (const stop of this.stops) stop();
  }
}
