/** What operators set over the telemetry: substitutions, blocks, tags, notes. The server's list is the truth. */
import {
  HoldRequestSchema,
  MarkKind,
  NoteRequestSchema,
  ReleaseRequestSchema,
  RemoveRequestSchema,
  TagRequestSchema,
  type OperatorMark,
  type TagType,
} from "../gen/scadapb/v1/scada_pb";
import { server, unsigned } from "./server.svelte";

export { MarkKind };

/** Events of this kind say that the list has changed. */
export const OPERATOR = 19;

class Marks {
  list: OperatorMark[] = $state.raw([]);
  types: TagType[] = $state.raw([]);
  byObject = $derived(Map.groupBy(this.list, (mark) => mark.mrid));

  constructor() {
    void server.keep(async () => {
      const next = server.changed(OPERATOR); // before the list is asked for, so that no change falls between
      await this.load();
      await next;
    });
  }

  async load(): Promise<void> {
    const reply = await server.operatorData.list({});
    this.list = reply.marks;
    this.types = reply.tagTypes;
  }

  /** Marks of one object, oldest first. */
  of(mrid: string): OperatorMark[] {
    return this.byObject.get(mrid) ?? [];
  }

  /** The substitution or block of a point. */
  hold(mrid: string): OperatorMark | undefined {
    return this.of(mrid).find((mark) => mark.kind === MarkKind.SUBSTITUTE || mark.kind === MarkKind.BLOCK);
  }

  substitute = (point: string, value: number, reason: string) =>
    server.operatorData.hold(unsigned(HoldRequestSchema, { point, value, reason }));
  block = (point: string, reason: string) => server.operatorData.hold(unsigned(HoldRequestSchema, { point, block: true, reason }));
  release = (point: string, reason: string) => server.operatorData.release(unsigned(ReleaseRequestSchema, { point, reason }));
  tag = (object: string, type: string, reason: string) => server.operatorData.placeTag(unsigned(TagRequestSchema, { object, type, reason }));
  note = (object: string, text: string) => server.operatorData.addNote(unsigned(NoteRequestSchema, { object, text }));
  remove = (markId: bigint, reason: string) => server.operatorData.remove(unsigned(RemoveRequestSchema, { markId, reason }));
}

export const marks = new Marks();
