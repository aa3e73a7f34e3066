// Decodes frames to objects and encodes them. The meaning of a frame is decided elsewhere.

const utf8 = new TextEncoder();

/** Decodes a frame: a JSON message, other text, or a binary message. */
export function read(data) {
  if (typeof data === "string") {
    const json = parse(data);
    return { text: data, size: utf8.encode(data).length, json, type: json?.type ?? "not JSON" };
  }
  const bytes = new Uint8Array(data);
  const number = bytes.length < 4 ? null : new DataView(data).getUint32(0);
  return {
    bytes,
    size: bytes.length,
    number,
    body: bytes.subarray(4),
    type: number === null ? "binary" : `#${number}`,
  };
}

/** Encodes a binary message: its type as four bytes, big-endian, and the bytes. */
export function writeBinary(number, body) {
  const frame = new Uint8Array(4 + body.length);
  new DataView(frame.buffer).setUint32(0, number);
  frame.set(body, 4);
  return frame.buffer;
}

export function bytesOf(text) {
  return utf8.encode(text);
}

/** Bytes as a string of the same length. Equal frames have equal strings. */
export function fingerprint(bytes) {
  return new TextDecoder("latin1").decode(bytes);
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && typeof value.type === "string" ? value : null;
  } catch {
    return null;
  }
}
