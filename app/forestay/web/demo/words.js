// Formats sizes, times and durations for people.

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const preciseClock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});
const whole = new Intl.NumberFormat("en-US");

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(bytes < 10_240 ? 1 : 0)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

export function count(number) {
  return whole.format(number);
}

export function time(date) {
  return Number.isNaN(date.getTime()) ? "" : clock.format(date);
}

export function preciseTime(date) {
  return preciseClock.format(date);
}

export function milliseconds(ms) {
  if (ms >= 1000) return `${Number((ms / 1000).toFixed(1))} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** A rounded time distance: "in 3 h", "12 min ago". */
export function fromNow(seconds) {
  const [amount, unit] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ].find(([length]) => Math.abs(seconds) >= length) ?? [1, "s"];
  const shown = `${Math.floor(Math.abs(seconds) / amount)} ${unit}`;
  return seconds >= 0 ? `in ${shown}` : `${shown} ago`;
}

/** Bytes as a hex dump with 8 per row, and the printable characters beside them. */
export function hexDump(bytes) {
  const rows = [];
  for (let start = 0; start < bytes.length; start += 8) {
    const row = [...bytes.subarray(start, start + 8)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const shown = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    rows.push(`${hex.padEnd(24)} ${shown}`);
  }
  return rows.join("\n");
}
