// What a message says: who, and where on the board. Six bytes; JSON would take many more.

const SIZE = 6;
const MOST = 65535;

/** `x` and `y` are 0 to 1. */
export function encode({ number, x, y }) {
  const view = new DataView(new ArrayBuffer(SIZE));
  view.setUint16(0, number);
  view.setUint16(2, Math.round(x * MOST));
  view.setUint16(4, Math.round(y * MOST));
  return view;
}

/** Nothing for bytes that say something else: whoever may write into the room may send anything. */
export function decode(data) {
  if (data.length !== SIZE) return;
  const view = new DataView(data.buffer, data.byteOffset, SIZE);
  return { number: view.getUint16(0), x: view.getUint16(2) / MOST, y: view.getUint16(4) / MOST };
}
