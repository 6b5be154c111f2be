// Speaks for the npm packages sm-crypto and sm-crypto-v2: one JSON request a line on stdin, one answer a line on stdout.
const path = require("node:path");
const crypto = require("node:crypto");
const readline = require("node:readline");

const modules = path.join(process.argv[2], "node_modules");
const load = (name) => { try { return require(path.join(modules, name)); } catch { return null; } };
const peers = { "sm-crypto": load("sm-crypto"), "sm-crypto-v2": load("sm-crypto-v2") };
const USER = "1234567812345678";
const FULL = { hash: true, userId: USER };

function answer({ peer, act, ...given }) {
  if (act === "peers") return Object.keys(peers).filter((name) => peers[name]);
  if (act === "node-sign") return crypto.sign("sm3", Buffer.from(given.message, "hex"), given.key).toString("hex");
  const { sm2, sm3, sm4 } = peers[peer];
  const octets = Buffer.from(given.message || "", "hex");
  const message = peer === "sm-crypto" ? Array.from(octets) : Uint8Array.from(octets);
  switch (act) {
    case "keys": return sm2.generateKeyPairHex();
    case "sign": return sm2.doSignature(message, given.key, { ...FULL, der: given.der, publicKey: given.point });
    case "verify": return sm2.doVerifySignature(message, given.signature, given.point, { ...FULL, der: given.der });
    case "encrypt": return "04" + sm2.doEncrypt(message, given.point, 1);
    case "decrypt": return Buffer.from(sm2.doDecrypt(given.cipher.slice(2), given.key, 1, { output: "array" })).toString("hex");
    case "sm3": return sm3(message);
    case "hmac": return sm3(message, { mode: "hmac", key: given.key });
    case "sm4-encrypt": return sm4.encrypt(message, given.key, { mode: "cbc", iv: given.iv });
    case "sm4-decrypt": return Array.from(sm4.decrypt(given.cipher, given.key, { mode: "cbc", iv: given.iv, output: "array" }));
  }
  throw new Error(`unknown act ${act}`);
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let told;
  try { told = { answer: answer(JSON.parse(line)) }; } catch (error) { told = { error: String(error) }; }
  process.stdout.write(JSON.stringify(told) + "\n");
});
