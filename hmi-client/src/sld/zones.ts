import type { PointInfo } from "../gen/scadapb/v1/scada_pb";
import { isBad } from "../live/quality";

/**
 * Pieces of a diagram that are one conductor. A zone's state is that of a measured piece in it, or of a zone it is joined to by
 * switches known to be closed; what neither reaches is unknown and drawn so, unless it is cut off on all sides.
 */
export type State = "energised" | "dead" | "earthed" | "unknown";

/** The energised-state words a model may use. */
const STATES: Record<string, State> = { energised: "energised", energized: "energised", dead: "dead", earthed: "earthed", grounded: "earthed" };

/** What an ``EnergisedState`` point says; a value of bad quality says nothing. */
export function stateOf(point: PointInfo, value: number, quality: number): State {
  return isBad(quality) ? "unknown" : (STATES[point.states[value]?.toLowerCase() ?? ""] ?? "unknown");
}

interface Link {
  from: string;
  to: string;
}

export class Zones {
  private readonly zoneOf = new Map<string, string>();
  private readonly sides = new Map<string, Set<string>>();
  private readonly states = new Map<string, State>();
  private readonly position = new Map<string, "open" | "closed" | undefined>();
  /** Zones that something beyond this diagram, or a unit, could make live. */
  private readonly fed = new Set<string>();

  /**
   * @param nodes parts of the diagram; a node that cuts (switch, transformer) is a boundary, not part of a zone; one that feeds
   *   (line, unit, transformer) may make its zone live
   * @param wires pairs of nodes
   */
  constructor(nodes: readonly { id: string; cuts: boolean; feeds: boolean }[], wires: readonly { id: string; nodeId1: string; nodeId2: string }[]) {
    const cutting = new Set(nodes.filter((node) => node.cuts).map((node) => node.id));
    const links: Link[] = [];
    for (const wire of wires) {
      // A wire is a node of its own here: between two switches it is the only thing its zone has.
      for (const end of [wire.nodeId1, wire.nodeId2]) {
        if (cutting.has(end)) this.sides.set(end, (this.sides.get(end) ?? new Set()).add(wire.id));
        else links.push({ from: wire.id, to: end });
      }
    }
    const root = new Map<string, string>();
    const find = (id: string): string => {
      let at = id;
      while (root.has(at)) at = root.get(at)!;
      return at;
    };
    for (const { from, to } of links) {
      const [a, b] = [find(from), find(to)];
      if (a !== b) root.set(a, b);
    }
    const feeding = new Set(nodes.filter((node) => node.feeds).map((node) => node.id));
    for (const id of [...nodes.filter((node) => !node.cuts).map((node) => node.id), ...wires.map((wire) => wire.id)]) this.zoneOf.set(id, find(id));
    for (const id of feeding) if (!cutting.has(id)) this.fed.add(find(id));
    for (const wire of wires) if (feeding.has(wire.nodeId1) || feeding.has(wire.nodeId2)) this.fed.add(find(wire.id));
  }

  setState(node: string, state: State): void {
    this.states.set(node, state);
  }

  /** Position of a switch; undefined = not known. */
  setSwitch(node: string, position: "open" | "closed" | undefined): void {
    this.position.set(node, position);
  }

  /** State of every node and wire. */
  solve(): Map<string, State> {
    const zone = new Map<string, State>();
    for (const [node, state] of this.states) {
      const id = this.zoneOf.get(node);
      if (id !== undefined && state !== "unknown") zone.set(id, state);
    }
    const measured = new Set(zone.keys());
    for (let changed = true; changed; ) {
      changed = false;
      for (const [node, wires] of this.sides) {
        if (this.position.get(node) !== "closed") continue;
        const zones = [...wires].map((wire) => this.zoneOf.get(wire)!);
        const known = zones.find((id) => zone.has(id));
        if (known === undefined) continue;
        for (const id of zones) {
          if (!zone.has(id) && !measured.has(id)) {
            zone.set(id, zone.get(known)!);
            changed = true;
          }
        }
      }
    }
    this.cutOff(zone);
    const result = new Map<string, State>();
    for (const [id, root] of this.zoneOf) result.set(id, zone.get(root) ?? "unknown");
    return result;
  }

  /** A zone that nothing feeds and all of whose switches are known to be open is dead. */
  private cutOff(zone: Map<string, State>): void {
    const reachable = new Set<string>();
    for (const [node, wires] of this.sides) {
      if (this.position.get(node) !== "open") for (const wire of wires) reachable.add(this.zoneOf.get(wire)!);
    }
    for (const id of new Set(this.zoneOf.values())) {
      if (!zone.has(id) && !reachable.has(id) && !this.fed.has(id)) zone.set(id, "dead");
    }
  }
}
