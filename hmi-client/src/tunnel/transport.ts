/** gRPC over the station's one WebSocket, as a transport under the generated Connect clients. */
import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type StreamResponse, type Transport, type UnaryResponse } from "@connectrpc/connect";

const enum Kind {
  Open = 1,
  Message = 2,
  HalfClose = 3,
  Cancel = 4,
  End = 5,
  State = 6,
  Unlock = 7,
}

/** What the station says about its connection to the server. */
export interface StationState {
  state: "connecting" | "up" | "refused";
  reason: string;
  server: string;
  operator: string;
  site: string;
  roles: string[];
  rights: string[];
  areas: string[];
  /** Why the session only looks, as the server said to the last order. */
  lock: "" | "idle_locked" | "superseded";
  language: string;
}

interface Call {
  onMessage(data: Uint8Array): void;
  onEnd(error: ConnectError | undefined): void;
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** The WebSocket and its open calls. Reconnects by itself; every open call then ends with Unavailable. */
export class Tunnel {
  private socket: WebSocket | undefined;
  private calls = new Map<number, Call>();
  private last = 0;
  private readonly address: string;

  constructor(
    private readonly onState: (state: StationState) => void,
    private readonly onLost: () => void,
  ) {
    this.address = `ws://${location.host}/tunnel`;
    this.connect();
  }

  private connect(): void {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => (this.socket = socket);
    socket.onmessage = (event) => this.receive(new Uint8Array(event.data as ArrayBuffer));
    socket.onclose = () => {
      this.socket = undefined;
      const lost = [...this.calls.values()];
      this.calls.clear();
      for (const call of lost) call.onEnd(new ConnectError("the operator station does not answer", Code.Unavailable));
      this.onLost();
      setTimeout(() => this.connect(), 500);
    };
  }

  private receive(data: Uint8Array): void {
    const kind = data[0];
    const number = new DataView(data.buffer, data.byteOffset).getUint32(1, true);
    const rest = data.subarray(5);
    if (kind === Kind.State) {
      this.onState(JSON.parse(decoder.decode(rest)) as StationState);
      return;
    }
    const call = this.calls.get(number);
    if (call === undefined) return;
    if (kind === Kind.Message) {
      call.onMessage(rest);
    } else if (kind === Kind.End) {
      this.calls.delete(number);
      const status = rest[0] ?? Code.Unknown;
      call.onEnd(status === 0 ? undefined : new ConnectError(decoder.decode(rest.subarray(1)), status as Code));
    }
  }

  /** Open a call; returns its number, or throws Unavailable. */
  open(path: string, call: Call): number {
    return this.start(Kind.Open, encoder.encode(path), call);
  }

  /** Let the station log in anew, so that the operator acts from here again. */
  unlock(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.start(Kind.Unlock, new Uint8Array(), { onMessage: () => {}, onEnd: (error) => (error ? reject(error) : resolve()) });
    });
  }

  private start(kind: Kind, rest: Uint8Array, call: Call): number {
    if (this.socket === undefined) throw new ConnectError("the operator station does not answer", Code.Unavailable);
    this.last = (this.last % 0xffffffff) + 1;
    this.calls.set(this.last, call);
    this.send(kind, this.last, rest);
    return this.last;
  }

  message(number: number, data: Uint8Array): void {
    this.send(Kind.Message, number, data);
  }

  halfClose(number: number): void {
    this.send(Kind.HalfClose, number, new Uint8Array());
  }

  cancel(number: number): void {
    if (this.calls.delete(number)) this.send(Kind.Cancel, number, new Uint8Array());
  }

  private send(kind: Kind, number: number, rest: Uint8Array): void {
    const data = new Uint8Array(5 + rest.length);
    data[0] = kind;
    new DataView(data.buffer).setUint32(1, number, true);
    data.set(rest, 5);
    this.socket?.send(data);
  }
}

/** Messages of a stream that arrived and are not read yet. */
class Inbox<T> implements AsyncIterable<T> {
  private items: T[] = [];
  private wake: (() => void) | undefined;
  private done = false;
  private error: ConnectError | undefined;

  push(item: T): void {
    this.items.push(item);
    this.wake?.();
  }

  end(error: ConnectError | undefined): void {
    this.done = true;
    this.error = error;
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const item = this.items.shift();
      if (item !== undefined) {
        yield item;
      } else if (this.done) {
        if (this.error) throw this.error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.wake = resolve));
      }
    }
  }
}

/** Connect transport over a tunnel. */
export function tunnelTransport(tunnel: Tunnel): Transport {
  const path = (method: { parent: { typeName: string }; name: string }) => `/${method.parent.typeName}/${method.name}`;

  function run<I extends DescMessage, O extends DescMessage>(
    method: { parent: { typeName: string }; name: string; input: I; output: O },
    signal: AbortSignal | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    inbox: Inbox<MessageShape<O>>,
  ): void {
    signal?.throwIfAborted();
    let open = true;
    const number = tunnel.open(path(method), {
      onMessage: (data) => inbox.push(fromBinary(method.output, data) as MessageShape<O>),
      onEnd: (error) => {
        open = false;
        signal?.removeEventListener("abort", abort);
        inbox.end(error);
      },
    });
    const abort = () => {
      open = false;
      tunnel.cancel(number);
      inbox.end(new ConnectError("cancelled", Code.Canceled));
    };
    signal?.addEventListener("abort", abort);
    void (async () => {
      for await (const message of input) {
        if (!open) return;
        tunnel.message(number, toBinary(method.input, create(method.input, message)));
      }
      if (open) tunnel.halfClose(number);
    })();
  }

  return {
    async unary(method, signal, timeoutMs, _header, message): Promise<UnaryResponse<typeof method.input, typeof method.output>> {
      const inbox = new Inbox<MessageShape<typeof method.output>>();
      const limit = AbortSignal.timeout(timeoutMs ?? 60_000);
      run(method, signal ? AbortSignal.any([signal, limit]) : limit, single(message), inbox);
      for await (const reply of inbox) {
        return {
          stream: false,
          service: method.parent,
          method,
          header: new Headers(),
          trailer: new Headers(),
          message: reply,
        };
      }
      throw new ConnectError("the call ended without a reply", Code.Internal);
    },
    async stream(method, signal, _timeoutMs, _header, input): Promise<StreamResponse<typeof method.input, typeof method.output>> {
      const inbox = new Inbox<MessageShape<typeof method.output>>();
      run(method, signal, input, inbox);
      return { stream: true, service: method.parent, method, header: new Headers(), trailer: new Headers(), message: inbox };
    },
  };
}

async function* single<T>(message: T): AsyncIterable<T> {
  yield message;
}
