// A client of a session from the four formulas of docs/security/sessions.md, by sm-crypto-v2 and nothing of ours:
// one JSON request a line on stdin, one answer a line on stdout. Octets travel in hexadecimal.
const path = require("node:path");
const crypto = require("node:crypto");
const readline = require("node:readline");

const { sm2, sm3 } = require(path.join(process.argv[2], "node_modules", "sm-crypto-v2"));
const USER = "1234567812345678";
const hex = (octets) => Buffer.from(octets).toString("hex");
const octets = (text) => Buffer.from(text, "hex");
const hash = (...parts) => octets(sm3(Uint8Array.from(Buffer.concat(parts))));
const hmac = (key, ...parts) => octets(sm3(Uint8Array.from(Buffer.concat(parts)), { mode: "hmac", key: hex(key) }));
const u32 = (number) => { const b = Buffer.alloc(4); b.writeUInt32LE(number); return b; };
const u64 = (number) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(number)); return b; };

// the wire of protobuf, as much as is needed
const varint = (number) => { const out = []; for (; number > 127; number = Math.floor(number / 128)) out.push((number % 128) | 128); return Buffer.from([...out, number]); };
const bytes = (field, value) => (value.length ? Buffer.concat([varint(field * 8 + 2), varint(value.length), value]) : Buffer.alloc(0));
const text = (field, value) => bytes(field, Buffer.from(value));
const fixed64 = (field, value) => (BigInt(value) ? Buffer.concat([varint(field * 8 + 1), u64(value)]) : Buffer.alloc(0));
const number = (field, value) => (value ? Buffer.concat([varint(field * 8), varint(value)]) : Buffer.alloc(0));
function fields(message) {
  const found = {};
  for (let at = 0; at < message.length; ) {
    const read = () => { let value = 0, scale = 1; for (;;) { const b = message[at++]; value += (b & 127) * scale; scale *= 128; if (b < 128) return value; } };
    const tag = read(), field = Math.floor(tag / 8);
    if (tag % 8 === 0) found[field] = read();
    else if (tag % 8 === 1) { found[field] = message.subarray(at, at + 8); at += 8; }
    else { const size = read(); found[field] = message.subarray(at, at + size); at += size; }
  }
  return found;
}

const pae = (header, body) => Buffer.concat([Buffer.from("SCADAv1\0"), u32(header.length), u32(body.length), header, body]);
const sign = (message) => octets(sm2.doSignature(Uint8Array.from(message), me.key, { hash: true, userId: USER, publicKey: me.point }));
const verify = (message, signature, point) => sm2.doVerifySignature(Uint8Array.from(message), hex(signature), point, { hash: true, userId: USER });
const hkdf = (secret, salt, info) => hmac(hmac(salt, secret), Buffer.from(info), Buffer.from([1]));

let me, fresh, request, session, server, keys, sequence = 0;

function header(method, time, extra) {
  return Buffer.concat([
    number(1, 1), number(2, 4), bytes(3, hash(octets(me.point)).subarray(0, 16)), text(4, me.name), text(5, me.site), text(6, method),
    fixed64(7, time), extra.sequence ? fixed64(8, extra.sequence) : Buffer.alloc(0), bytes(9, crypto.randomBytes(16)),
    bytes(10, extra.session || Buffer.alloc(0)), fixed64(11, BigInt(time) + 10000000n),
  ]);
}

const acts = {
  login(given) {
    me = given;
    fresh = sm2.generateKeyPairHex();
    const body = Buffer.concat([bytes(1, octets(me.certificate)), bytes(2, octets(fresh.publicKey)), bytes(3, crypto.randomBytes(32)), text(4, "node")]);
    const head = header("/scadapb.v1.Session/Login", given.time, {});
    request = Buffer.concat([bytes(1, head), bytes(2, body), bytes(3, sign(pae(head, body)))]);
    return hex(request);
  },
  accept({ reply, point }) {
    const signed = fields(octets(reply)), body = fields(signed[2]);
    if (!verify(pae(signed[1], signed[2]), signed[3], point)) throw new Error("the server's signature is wrong");
    if (!body[2].equals(hash(request))) throw new Error("not the answer to our login");
    const secret = Buffer.from(sm2.doDecrypt(hex(body[4]).slice(2), fresh.privateKey, 1, { output: "array" }));
    const salt = hash(request, octets(reply));
    keys = { out: hkdf(secret, salt, "c2s-mac"), back: hkdf(secret, salt, "s2c-mac") };
    [session, server] = [body[1], point];
    return hex(session);
  },
  seal({ method, body, time }) {
    const head = header(method, time, { session, sequence: ++sequence });
    const signature = sign(pae(head, octets(body)));
    const mac = hmac(keys.out, pae(head, octets(body)), signature).subarray(0, 16);
    return hex(Buffer.concat([bytes(1, head), bytes(2, octets(body)), bytes(3, signature), bytes(4, mac)]));
  },
  check({ method, request: asked, reply }) {
    const message = octets(reply), start = message.length - 91, bare = message.subarray(0, start);
    if (hex(message.subarray(start, start + 3)) !== "fa7f58") throw new Error("not sealed");
    const count = message.subarray(start + 3, start + 11), mac = message.subarray(start + 11, start + 27), signature = message.subarray(start + 27);
    const rpae = Buffer.concat([Buffer.from("SCADAr1\0"), session, u32(0), count, u32(method.length), Buffer.from(method), hash(octets(asked)), hash(bare)]);
    if (!hmac(keys.back, rpae, signature).subarray(0, 16).equals(mac)) throw new Error("the tag is wrong");
    if (!verify(rpae, signature, server)) throw new Error("not signed by the server");
    return hex(bare);
  },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let told;
  try { const { act, ...given } = JSON.parse(line); told = { answer: acts[act](given) }; } catch (error) { told = { error: String(error) }; }
  process.stdout.write(JSON.stringify(told) + "\n");
});
