// Turns what the application gives into what is written, or refuses it: nothing is changed in silence.

import { refused } from "./errors.js";

const kindOf = (value: unknown): string => ({}).toString.call(value).slice(8, -1);

const JSON_KINDS = /^(Object|Array|String|Number|Boolean|Null)$/;

/** @internal Throws where the text would not say what the object says. */
export const encode = (frame: object): string => {
  let why = "a cycle";
  try {
    const text = JSON.stringify(frame, function (this: unknown, key, value) {
      const kind = typeof value === "number" && !Number.isFinite(value) ? String(value) : kindOf(value);
      // A field that is undefined is left out, as everywhere; of a payload nothing would be left.
      if (value === undefined ? this !== frame || key !== "payload" : JSON_KINDS.test(kind)) return value;
      throw new Error((why = `${key} is ${kind}`));
    });
    // Only half of a pair is written like this, for it has no UTF-8.
    if (!/[^\\](\\\\)*\\ud/.test(text)) return text;
    why = "an unpaired surrogate";
  } catch {}
  throw refused("bad_message", `not JSON: ${why}`);
};

/** @internal Bytes, or what will be bytes when they have been read. */
export interface Packed {
  _size: number;
  _data?: Uint8Array<ArrayBuffer>;
  _reading?: Promise<Uint8Array<ArrayBuffer>>;
}

/** @internal Throws a TypeError for what has no bytes. */
export const pack = (type: number, data: ArrayBufferView | ArrayBufferLike | Blob): Packed => {
  if (type !== type >>> 0) throw new TypeError("type");
  const join = (from: ArrayBufferView | ArrayBufferLike): Uint8Array<ArrayBuffer> => {
    const { buffer, byteOffset, byteLength } = ArrayBuffer.isView(from) ? from : new DataView(from as ArrayBuffer);
    const bytes = new Uint8Array(4 + byteLength);
    new DataView(bytes.buffer).setUint32(0, type);
    bytes.set(new Uint8Array(buffer, byteOffset, byteLength), 4);
    return bytes;
  };
  if (data instanceof Blob) return { _size: 4 + data.size, _reading: data.arrayBuffer().then(join) };
  const bytes = join(data);
  return { _size: bytes.length, _data: bytes };
};
