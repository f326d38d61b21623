// Tells whether a webhook of TinyDevCRM is genuine. It reads the request, headers, an empty line and the body, and ends with 0, or
// with 1 and the reason. In a server, verify is all that is needed.
//
//     WEBHOOK_SECRET=whsec_… node docs/examples/verify.mjs <request
import {createHmac, timingSafeEqual} from "node:crypto";
import {readFileSync} from "node:fs";

// verify throws why a request is not to be trusted. headers have lower-case names; body is a Buffer of what came, byte for byte, not
// what a parser made of it.
function verify(secret, headers, body) {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  if (key.length < 24) throw new Error("the secret is none");
  const id = headers["webhook-id"] ?? "", timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^[0-9]{1,12}$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > 300) {
    throw new Error("the timestamp is missing, or more than five minutes away");
  }
  const mac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  const want = Buffer.from(`v1,${mac}`);
  const signatures = (headers["webhook-signature"] ?? "").split(" ").map((text) => Buffer.from(text));
  if (!signatures.some((signature) => signature.length === want.length && timingSafeEqual(signature, want))) {
    throw new Error("no signature is by this secret");
  }
}

const request = readFileSync(0);
const headers = {};
let start = 0;
for (;;) {
  const end = request.indexOf("\n", start);
  const line = request.toString("latin1", start, end < 0 ? request.length : end).replace(/\r$/, "");
  start = end < 0 ? request.length : end + 1;
  if (line === "") break;
  const colon = line.indexOf(":");
  headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
}
try {
  verify(process.env.WEBHOOK_SECRET ?? "", headers, request.subarray(start));
} catch (reason) {
  console.error(reason.message);
  process.exit(1);
}
